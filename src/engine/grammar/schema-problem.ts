/** What is wrong with a schema, and where in it. */

/** The message follows the place: "… is not supported". */
export class SchemaProblem extends Error {
  /** For example `.properties.name.pattern`. */
  readonly path: string

  constructor(path: string, message: string) {
    super(message)
    this.path = path
  }
}
