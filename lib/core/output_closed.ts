/** Nobody reads the output any more, as after `| head`: there is nobody left to work for. */
export class OutputClosed extends Error {
  override name = "OutputClosed";
}
