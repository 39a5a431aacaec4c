/**
 * Matches no row of the platform database, so nothing is written or locked; but a server that this login
 * can't write to (read-only, not in its cluster) refuses it as it would any write. No lease has an empty
 * name.
 */
export const WRITE_PROBE = "update leases set pid = pid where name = ''"
