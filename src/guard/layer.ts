/** What Layers are made with: a Backend with some of its methods replaced, and several Layers as one. */
import type { Backend, Layer } from '../types.ts'

/** A getter may answer undefined for an optional method that `next` lacks. */
export type Overrides = { readonly [Name in keyof Backend]?: Backend[Name] | undefined }

/**
 * Everything that is not replaced goes to `next` as it is at that moment, optional methods included: a
 * backend may gain a model, or learn to score, after it has been wrapped.
 */
export function override(next: Backend, own: Overrides): Backend {
  return new Proxy(next, {
    get(target, property) {
      if (Object.hasOwn(own, property)) return own[property as keyof Backend]
      // Not with the proxy as receiver: private fields are only found on the object itself.
      const value: unknown = Reflect.get(target, property, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
    has: (target, property) => Object.hasOwn(own, property) || property in target,
  })
}

/** Layers as one; the first is the outermost. */
export function stack(...layers: readonly Layer[]): Layer {
  return (backend) => layers.reduceRight((next, layer) => layer(next), backend)
}
