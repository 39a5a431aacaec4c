/** Whether this is `npm run test:campaign`, which runs the volume tests at full size. */
export const isCampaign = process.env.VALIDONX_TEST_CAMPAIGN === '1'

/** How much of something a test does: `usual` in `npm test`, `full` in the campaign. */
export const volume = (usual: number, full: number): number => (isCampaign ? full : usual)

/**
 * The seed of everything that a test chooses at random, one for the whole run. The run prints it, and
 * so does a failure; set VALIDONX_TEST_SEED to have the same choices again.
 */
export const seed = Number(process.env.VALIDONX_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31))
