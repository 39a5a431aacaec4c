import type { Provisioner } from './provisioner.js'

/** Something about a server's settings that validonx cannot work with. */
export type SettingFault = {
  /** Names the setting and its value, and says what fails. */
  readonly says: string
  readonly next: string
}

export type SettingWishes = {
  /** Host part of the accounts that validonx makes. */
  readonly accountHost: string
  /** Most sessions that one process opens with one login. */
  readonly sessionsPerLogin: number
}

type Values = ReadonlyMap<string, string>

type Rule = {
  readonly setting: string
  readonly isFault: (value: string, values: Values, wishes: SettingWishes) => boolean
  readonly says: string | ((wishes: SettingWishes) => string)
  readonly next: string
}

const isOn = (value: string | undefined): boolean =>
  value !== undefined && !/^(off|0|no|)$/i.test(value)

const hasHostName = ({ accountHost }: SettingWishes): boolean =>
  accountHost !== 'localhost' && !/^[\d.%:/_a-f]+$/i.test(accountHost)

/** Derived passwords have 47 characters, among them at least one of each class. */
const PASSWORD_LENGTH = 47
const SURE_OF_EACH_CLASS = 1
const SMALLEST_PACKET = 4_194_304
/** Index entries on smaller pages are shorter than ours. */
const SMALLEST_PAGE = 16_384

/** One row for each setting that stops validonx, of either family. What a session can set, it sets itself. */
const RULES: readonly Rule[] = [
  ...['read_only', 'super_read_only', 'innodb_read_only'].map(
    (setting): Rule => ({
      setting,
      isFault: isOn,
      says: 'nothing can be written',
      next: 'connect to the primary, or make this server writable',
    }),
  ),
  {
    setting: 'offline_mode',
    isFault: isOn,
    says: 'only administrators may connect',
    next: 'set global offline_mode = off',
  },
  {
    setting: 'innodb_force_recovery',
    isFault: (value) => Number(value) > 0,
    says: 'the server is in recovery and refuses writes',
    next: 'finish the recovery, then restart the server without it',
  },
  {
    setting: 'binlog_format',
    isFault: (value, values) => value === 'STATEMENT' && isOn(values.get('log_bin')),
    says: 'the server refuses writes of READ COMMITTED transactions (error 1665)',
    next: 'set global binlog_format = ROW, also in its configuration',
  },
  {
    setting: 'innodb_page_size',
    isFault: (value) => Number(value) < SMALLEST_PAGE,
    says: 'index entries are limited to less than the schema needs',
    next: `use a server that was made with ${SMALLEST_PAGE} or more`,
  },
  {
    setting: 'max_user_connections',
    isFault: (value, _, wishes) => Number(value) > 0 && Number(value) < wishes.sessionsPerLogin,
    says: ({ sessionsPerLogin }) => `one process opens up to ${sessionsPerLogin} with one login`,
    next: 'raise it to that for each serving process, or set it to 0 for no limit',
  },
  {
    setting: 'max_allowed_packet',
    isFault: (value) => Number(value) < SMALLEST_PACKET,
    says: 'large statements are refused',
    next: 'raise it to 16777216 or more',
  },
  {
    setting: 'disabled_storage_engines',
    isFault: (value) => /\binnodb\b/i.test(value),
    says: 'InnoDB tables cannot be made',
    next: 'take InnoDB off the list',
  },
  {
    setting: 'enforce_storage_engine',
    isFault: (value) => value !== '' && !/^innodb$/i.test(value),
    says: 'InnoDB tables cannot be made',
    next: 'set it to InnoDB, or to nothing',
  },
  {
    setting: 'mandatory_roles',
    isFault: (value) => value.trim() !== '',
    says: 'every account gets these roles, so tenants would have rights beyond their own database',
    next: 'grant the roles to the accounts that need them instead',
  },
  {
    setting: 'skip_name_resolve',
    isFault: (value, _, wishes) => isOn(value) && hasHostName(wishes),
    says: 'VALIDONX_TENANT_USER_HOST is a host name, which the server never looks up',
    next: 'set VALIDONX_TENANT_USER_HOST to % or to an address pattern',
  },
  ...[
    'validate_password.length',
    'validate_password_length',
    'simple_password_check_minimal_length',
  ].map(
    (setting): Rule => ({
      setting,
      isFault: (value) => Number(value) > PASSWORD_LENGTH,
      says: `derived passwords have ${PASSWORD_LENGTH} characters`,
      next: `lower it to ${PASSWORD_LENGTH} or less`,
    }),
  ),
  ...[
    'validate_password.special_char_count',
    'validate_password_special_char_count',
    'validate_password.number_count',
    'validate_password_number_count',
    'validate_password.mixed_case_count',
    'validate_password_mixed_case_count',
    'simple_password_check_other_characters',
    'simple_password_check_digits',
    'simple_password_check_letters_same_case',
  ].map(
    (setting): Rule => ({
      setting,
      isFault: (value) => Number(value) > SURE_OF_EACH_CLASS,
      says: `some derived passwords have only ${SURE_OF_EACH_CLASS} such character`,
      next: `lower it to ${SURE_OF_EACH_CLASS}`,
    }),
  ),
  ...['validate_password.dictionary_file', 'validate_password_dictionary_file'].map(
    (setting): Rule => ({
      setting,
      isFault: (value, values) =>
        value !== '' &&
        /^(strong|2)$/i.test(values.get(setting.replace('dictionary_file', 'policy')) ?? ''),
      says: 'the policy STRONG refuses derived passwords that happen to contain a word from it',
      next: 'set the policy to MEDIUM, or the file to nothing',
    }),
  ),
]

const NAMES = [
  ...new Set([
    ...RULES.map(({ setting }) => setting),
    'log_bin',
    'validate_password.policy',
    'validate_password_policy',
  ]),
]

/** Reads the settings that matter, in one statement, and returns those that stop validonx. */
export async function findSettingFaults(
  provisioner: Provisioner,
  wishes: SettingWishes,
): Promise<SettingFault[]> {
  const rows = await provisioner.rows<{ Variable_name: string; Value: string }>(
    `show global variables where variable_name in (${NAMES.map(() => '?').join(', ')})`,
    NAMES,
  )
  const values = new Map(rows.map(({ Variable_name, Value }) => [Variable_name, Value]))
  return RULES.flatMap(({ setting, isFault, says, next }) => {
    const value = values.get(setting)
    if (value === undefined || !isFault(value, values, wishes)) return []
    const reason = typeof says === 'string' ? says : says(wishes)
    return [{ says: `${setting} is ${value}: ${reason}`, next }]
  })
}
