// The OpenID provider's storage, shared by every Provider of the process, so that codes, sessions and refresh
// tokens outlast a change of the signing keys. Follows the adapter interface of npm oidc-provider.

const entries = new Map();

export class Memory {
  constructor(model) {
    this.model = model;
  }

  key(id) {
    return `${this.model}:${id}`;
  }

  find(id) {
    const entry = entries.get(this.key(id));
    if (!entry || entry.expiresAt <= Date.now()) return undefined;
    return entry.payload;
  }

  upsert(id, payload, expiresInSeconds) {
    const expiresAt = expiresInSeconds ? Date.now() + expiresInSeconds * 1000 : Infinity;
    entries.set(this.key(id), { payload, expiresAt });
  }

  findByUid(uid) {
    const mine = [...entries].find(([key, { payload }]) => key.startsWith(`${this.model}:`) && payload.uid === uid);
    return mine && this.find(mine[0].slice(this.model.length + 1));
  }

  consume(id) {
    const payload = this.find(id);
    if (payload) payload.consumed = Math.floor(Date.now() / 1000);
  }

  destroy(id) {
    entries.delete(this.key(id));
  }

  revokeByGrantId(grantId) {
    for (const [key, { payload }] of entries) {
      if (payload.grantId === grantId) entries.delete(key);
    }
  }
}
