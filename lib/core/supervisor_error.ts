/**
 * The supervisor could not be started at all: missing, not executable, or the host is out of
 * processes. A fault of this node and not of the spec. The message names the program and the cause.
 */
export class SupervisorError extends Error {
  override name = "SupervisorError";
}
