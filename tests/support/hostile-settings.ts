import type { Provisioner } from '../../src/core/db/provisioner.js'
import { quoteText } from '../../src/core/db/sql.js'

export type Family = 'MariaDB' | 'MySQL'

/** Values of global variables, as SQL. */
export type Globals = Readonly<Record<string, string>>

type ByFamily = Readonly<Record<'both' | Family, Globals>>

/** For every variable that our sessions set, another value than ours. */
const AGAINST_OURS: ByFamily = {
  both: {
    // some can only be set in a session; it runs for every login without administrative rights
    init_connect: "'set names latin1, timestamp = 1000000000'",
    sql_mode: "'ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES,IGNORE_SPACE'",
    time_zone: "'+05:30'",
    lc_time_names: "'de_DE'",
    lc_messages: "'de_DE'",
    autocommit: '0',
    completion_type: "'RELEASE'",
    foreign_key_checks: '0',
    unique_checks: '0',
    sql_safe_updates: '1',
    sql_select_limit: '1',
    sql_big_selects: '0',
    max_sort_length: '64',
    group_concat_max_len: '4',
    div_precision_increment: '0',
    sql_auto_is_null: '1',
    wait_timeout: '1',
    net_read_timeout: '1',
    net_write_timeout: '1',
    default_storage_engine: "'MyISAM'",
    sql_quote_show_create: '0',
    innodb_lock_wait_timeout: '1',
    lock_wait_timeout: '1',
  },
  MariaDB: {
    tx_isolation: "'READ-UNCOMMITTED'",
    tx_read_only: '1',
    check_constraint_checks: '0',
    query_cache_type: '1',
    wsrep_dirty_reads: '1',
    max_statement_time: '1',
    idle_transaction_timeout: '1',
    idle_write_transaction_timeout: '1',
    idle_readonly_transaction_timeout: '1',
    innodb_strict_mode: '0',
    sql_if_exists: '1',
    alter_algorithm: "'INSTANT'",
    old_mode: "'ZERO_DATE_TIME_CAST'",
    old_passwords: '1',
  },
  MySQL: {
    transaction_isolation: "'READ-UNCOMMITTED'",
    transaction_read_only: '1',
    max_execution_time: '1000',
  },
}

/** What our sessions leave as it is: everything must work under these too. */
const LEFT_ALONE: ByFamily = {
  both: {
    max_join_size: '1',
    auto_increment_increment: '10',
    auto_increment_offset: '3',
    character_set_server: "'latin1'",
    collation_server: "'latin1_swedish_ci'",
    sql_notes: '0',
    sql_warnings: '1',
    max_error_count: '0',
    interactive_timeout: '1',
    tmp_table_size: '1024',
    max_heap_table_size: '16384',
    sort_buffer_size: '32768',
    join_buffer_size: '128',
    big_tables: '1',
    sql_buffer_result: '1',
    default_week_format: '6',
    explicit_defaults_for_timestamp: '0',
    low_priority_updates: '1',
    innodb_table_locks: '0',
    session_track_schema: '1',
    session_track_state_change: '1',
    session_track_system_variables: "'*'",
    session_track_transaction_info: "'CHARACTERISTICS'",
  },
  MariaDB: {
    innodb_snapshot_isolation: '1',
    system_versioning_alter_history: "'KEEP'",
    max_recursive_iterations: '0',
    default_regex_flags: "'DOTALL'",
    standard_compliant_cte: '0',
    tmp_memory_table_size: '1024',
    wsrep_sync_wait: '15',
  },
  MySQL: {
    innodb_strict_mode: '0',
    default_collation_for_utf8mb4: "'utf8mb4_general_ci'",
    sql_require_primary_key: '1',
    sql_generate_invisible_primary_key: '1',
    show_create_table_verbosity: '1',
    print_identified_with_as_hex: '1',
    information_schema_stats_expiry: '31536000',
    windowing_use_high_precision: '0',
    end_markers_in_json: '1',
  },
}

const of = (family: Family, values: ByFamily): Globals => ({ ...values.both, ...values[family] })

export const hostileTo = (family: Family): Globals => of(family, AGAINST_OURS)

export const everythingHostile = (family: Family): Globals => ({
  ...hostileTo(family),
  ...of(family, LEFT_ALONE),
})

/** Runs `work` on a server that an administrator has set like that, and sets it back. */
export async function underGlobals<T>(
  provisioner: Provisioner,
  globals: Globals,
  work: () => Promise<T>,
): Promise<T> {
  const names = Object.keys(globals)
  const [before = {}] = await provisioner.rows<Record<string, unknown>>(
    `select ${names.map((name) => `@@global.${name} as ${name}`).join(', ')}`,
  )
  // each for itself: MySQL sets some only after others
  const set = async (values: Globals) => {
    for (const [name, value] of Object.entries(values))
      await provisioner.run(`set global ${name} = ${value}`)
  }
  try {
    await set(globals)
    return await work()
  } finally {
    await set(Object.fromEntries(Object.entries(before).map(([name, was]) => [name, sqlOf(was)])))
  }
}

/** The driver gives large numbers as text. */
const sqlOf = (value: unknown): string =>
  value === null ? 'null' : /^\d+$/.test(String(value)) ? String(value) : quoteText(String(value))
