/**
 * What `read` gives for every item, in order. One at a time is read: the next while the caller works on the last.
 * Before this ends, in whatever way, the read under way has ended too, so that what is read from may then be closed.
 *
 * @throws what `read` throws, when it is that item's turn
 */
export async function* readAhead<T, R>(
  items: readonly T[],
  read: (item: T) => Promise<R>,
): AsyncGenerator<readonly [item: T, result: R], void, undefined> {
  let next: Promise<R> | undefined
  const begin = (index: number): void => {
    next = index < items.length ? read(items[index]!) : undefined
    next?.catch(() => {}) // thrown when it is its turn
  }
  try {
    begin(0)
    for (const [index, item] of items.entries()) {
      const result = await next!
      begin(index + 1)
      yield [item, result]
    }
  } finally {
    await next?.catch(() => {})
  }
}
