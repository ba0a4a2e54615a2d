/** Student's t: how far a mean of few values may be from the true one. */

/** Halvings of a right angle: beyond, floating point has no more digits. */
const HALVINGS = 60

/**
 * The t with so much of the distribution below it.
 *
 * @param share from 0.5, below 1
 * @param freedom degrees of freedom, a whole number of at least 1
 */
export function studentQuantile(share: number, freedom: number): number {
  let [low, high] = [0, Math.PI / 2]
  for (let round = 0; round < HALVINGS; round++) {
    const middle = (low + high) / 2
    if ((1 + within(middle, freedom)) / 2 < share) low = middle
    else high = middle
  }
  return Math.tan((low + high) / 2) * Math.sqrt(freedom)
}

/** How much lies between -t and t, t = tan(angle) sqrt(freedom): finite sums (Abramowitz and Stegun, 26.7.3, 26.7.4). */
function within(angle: number, freedom: number): number {
  const [sine, cosine] = [Math.sin(angle), Math.cos(angle)]
  const odd = freedom % 2 === 1
  let term = odd ? cosine : 1
  let sum = freedom === 1 ? 0 : term
  for (let k = odd ? 3 : 2; k < freedom; k += 2) {
    term *= ((k - 1) / k) * cosine ** 2
    sum += term
  }
  return odd ? (2 / Math.PI) * (angle + sine * sum) : sine * sum
}
