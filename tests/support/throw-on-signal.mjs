/**
 * Preloaded into a real process (`node --import`): SIGUSR2 plants an exception in a callback, or, with
 * PLANT=rejection, a rejection that nothing handles. Leaves a timer behind that would keep a process alive.
 */
process.on('SIGUSR2', () => {
  setInterval(() => {}, 1_000)
  const planted = new Error('planted')
  if (process.env.PLANT === 'rejection') void Promise.reject(planted)
  else throw planted
})
