/** Exit codes of every command; those from 64 to 78 have the meaning that BSD's sysexits.h gives. */
export const EXIT = {
  ok: 0,
  /** Not everything that was asked for was done, or something needs a person; it is said what. */
  refused: 1,
  /** The command line is wrong. */
  usage: 64,
  /** The bucket cannot be used, and waiting does not help. */
  unavailable: 69,
  internal: 70,
  /** The bucket did not answer, or asked for patience: try again. */
  temporary: 75,
  configuration: 78,
  interrupted: 130,
  /** Nobody reads the output any more, as after `| head`; what a shell calls 128 + SIGPIPE. */
  outputClosed: 141,
} as const;
