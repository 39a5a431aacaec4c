import { listPlans } from '../../../core/billing/plan-store.js'
import { findCredentials } from '../../../core/identity/user-store.js'
import { provisionTenant } from '../../../core/provisioning/provision-tenant.js'
import { nameFromSlug } from '../../../core/tenants/tenant.js'
import { findTenant } from '../../../core/tenants/tenant-store.js'
import { createCommand } from '../../command.js'
import { type OpenSession, type Runtime, withFleet } from '../../runtime.js'
import { reportStages, showProvisioned } from './shown.js'

type Options = {
  readonly name?: string
  readonly plan?: string
  readonly ownerEmail?: string
  readonly server?: string
}

export const tenantProvision = (runtime: Runtime) =>
  createCommand({
    name: 'provision',
    about: 'register a tenant and make all it needs, in twelve stages; run again to resume',
    examples: [
      ['tenant provision acme', 'a tenant on the starter plan'],
      [
        'tenant provision acme --plan pro --owner-email ada@acme.example',
        'on another plan, with an owner',
      ],
      ['tenant provision acme --json | jq -r .api_key.secret', 'the API key alone'],
    ],
  })
    .argument(
      '<slug>',
      'what the tenant is called everywhere: 2 to 40 lower-case letters, digits and hyphens',
    )
    .option('--name <name>', 'its name for people (default: from the slug)')
    .option('--plan <code>', 'its plan (default: starter)')
    .option('--owner-email <address>', 'makes this person its owner')
    .option('--server <name>', 'the database server for it (default: the one with the most room)')
    .action(
      withFleet(runtime, async (session, slug: string, options: Options) => {
        const { ctx, terminal, signal } = session
        const wish = { slug, ...(await completed(session, slug, options)) }
        await provisionTenant(ctx, wish, {
          report: reportStages(terminal),
          deliver: async (provisioned) => {
            await showProvisioned(terminal, provisioned)
            if (provisioned.apiKey) terminal.remark(nextSteps(slug))
          },
          signal,
        })
        if (wish.ownerEmail) await remindOfPassword(session, wish.ownerEmail)
      }),
    )

/** Asks a person for what is missing, of a tenant that is new; elsewhere the defaults hold. */
async function completed(
  { ctx, terminal }: OpenSession,
  slug: string,
  given: Options,
): Promise<Options> {
  const { name, plan, ownerEmail, server } = given
  const asked = { name, plan, ownerEmail, server }
  if (terminal.canAsk && !terminal.json && (await findTenant(ctx.platform, slug)) === undefined) {
    asked.name ??= await terminal.ask('Name of the tenant', nameFromSlug(slug))
    asked.plan ??= await terminal.choose(
      'Plan',
      (await listPlans(ctx.platform)).map(({ code, name: title }) => ({
        value: code,
        name: title,
      })),
    )
    asked.ownerEmail ??=
      (await terminal.ask("The owner's e-mail address (empty for none)", '')) || undefined
  }
  return Object.fromEntries(Object.entries(asked).filter(([, value]) => value !== undefined))
}

/**
 * Provisioning creates a new owner without a password. Call after the key was delivered: the reminder is
 * left out if the platform can't be asked, because the tenant is complete without it.
 */
async function remindOfPassword({ ctx, terminal }: OpenSession, address: string): Promise<void> {
  const email = address.toLowerCase()
  const owner = await findCredentials(ctx.platform, email).catch(() => undefined)
  if (owner && owner.passwordHash === undefined)
    terminal.remark(
      `\nThe owner ${email} has no password and can't log in yet: "validonx user password ${email}" sets one.`,
    )
}

const nextSteps = (slug: string): string =>
  [
    '',
    'The API key is shown this once. Issue a license, serve, and validate it:',
    `  validonx license issue --tenant ${slug} --product app --create-product "App"`,
    '  validonx serve',
    "  curl -X POST -H 'X-API-Key: <api key>' \\",
    '    http://127.0.0.1:8080/v1/integration/licenses/<license key>/validate',
  ].join('\n')
