// Names to elements.

/**
 * The element with this id, which must be there and of this kind.
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} [kind]
 * @returns {T}
 */
export function byId(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof (kind ?? HTMLElement))) throw new Error(`no element #${id} of the right kind`);
  return /** @type {T} */ (found);
}
