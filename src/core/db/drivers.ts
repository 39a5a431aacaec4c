import { createRequire } from 'node:module'

const load = createRequire(import.meta.url)

/** Loaded at first use: the two take 0.15 s, which `validonx --help` need not wait for. */
export const loadKnex = (): typeof import('knex').knex => load('knex').knex
export const loadMysql = (): typeof import('mysql2') => load('mysql2')
