/** Google's credential files, understood: one sentence and the field for what is wrong, never a value. */
import { isObject, type Json } from '../client/wire.ts'
import { FacetError } from '../errors.ts'

export interface ServiceAccount {
  readonly type: 'service_account'
  readonly email: string
  readonly privateKey: string
  readonly keyId: string | undefined
  readonly tokenURL: string
}

/** What `gcloud auth application-default login` writes. */
export interface AuthorizedUser {
  readonly type: 'authorized_user'
  readonly clientId: string
  readonly clientSecret: string
  readonly refreshToken: string
  readonly tokenURL: string
}

/** Workload identity federation: a token of another identity provider, exchanged. */
export interface ExternalAccount {
  readonly type: 'external_account'
  readonly audience: string
  readonly subjectTokenType: string
  readonly tokenURL: string
  readonly impersonationURL: string | undefined
  readonly lifetimeSeconds: number
  readonly source: SubjectSource
}

export interface ImpersonatedAccount {
  readonly type: 'impersonated_service_account'
  readonly impersonationURL: string
  readonly delegates: readonly string[]
  readonly source: Exclude<Credentials, ImpersonatedAccount>
}

export type Credentials = ServiceAccount | AuthorizedUser | ExternalAccount | ImpersonatedAccount

/** Where the other provider's token lies; `program`: the caller's own function gives it. */
export type SubjectSource = { readonly field: string | undefined } & (
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'url'; readonly url: string; readonly headers: Readonly<Record<string, string>> }
  | { readonly kind: 'program' }
)

const TOKEN_URL = 'https://oauth2.googleapis.com/token'
const STS_URL = 'https://sts.googleapis.com/v1/token'
const TYPES = 'service_account, authorized_user, external_account or impersonated_service_account'

/**
 * @param input the file's text, or its JSON
 * @throws FacetError invalid_request, with the field, for example `credentials.private_key`
 */
export function credentialsFrom(input: unknown): Credentials {
  return fromJson(typeof input === 'string' ? parse(input) : input, 'credentials')
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // The parser's own message quotes the text, which holds the key.
    throw fail('credentials', "is not valid JSON; give the text of Google's credential file, not its path")
  }
}

function fromJson(json: unknown, field: string): Credentials {
  const fields = new Fields(json, field)
  switch (fields.json.type) {
    case 'service_account':
      return {
        type: 'service_account',
        email: fields.text('client_email'),
        privateKey: fields.text('private_key'),
        keyId: fields.optional('private_key_id'),
        tokenURL: fields.url('token_uri', TOKEN_URL),
      }
    case 'authorized_user':
      return {
        type: 'authorized_user',
        clientId: fields.text('client_id'),
        clientSecret: fields.text('client_secret'),
        refreshToken: fields.text('refresh_token'),
        tokenURL: fields.url('token_uri', TOKEN_URL),
      }
    case 'external_account':
      return externalFrom(fields)
    case 'impersonated_service_account': {
      const source = fromJson(fields.json.source_credentials, `${field}.source_credentials`)
      if (source.type === 'impersonated_service_account') {
        throw fields.fail('source_credentials', 'must not be impersonated itself; use delegates')
      }
      return {
        type: 'impersonated_service_account',
        impersonationURL: fields.url('service_account_impersonation_url'),
        delegates: fields.texts('delegates'),
        source,
      }
    }
    default:
      throw fields.fail('type', `must be ${TYPES}; make the file with gcloud or the Google Cloud console`)
  }
}

function externalFrom(fields: Fields): ExternalAccount {
  const impersonation = fields.json.service_account_impersonation
  const lifetime = isObject(impersonation) ? impersonation.token_lifetime_seconds : undefined
  const known = typeof lifetime === 'number' && lifetime >= 600 && lifetime <= 43_200
  if (lifetime !== undefined && !known) {
    throw fields.fail(
      'service_account_impersonation.token_lifetime_seconds',
      'must be a number from 600 to 43200',
    )
  }
  return {
    type: 'external_account',
    audience: fields.text('audience'),
    subjectTokenType: fields.text('subject_token_type'),
    tokenURL: fields.url('token_url', STS_URL),
    impersonationURL:
      fields.json.service_account_impersonation_url === undefined
        ? undefined
        : fields.url('service_account_impersonation_url'),
    lifetimeSeconds: known ? lifetime : 3600,
    source: sourceFrom(fields.json.credential_source, `${fields.field}.credential_source`),
  }
}

function sourceFrom(json: unknown, field: string): SubjectSource {
  // Left out where the caller's own function gives the token.
  if (json === undefined) return { kind: 'program', field: undefined }
  const fields = new Fields(json, field)
  for (const [name, what] of Object.entries({
    environment_id: 'AWS credentials are not supported; use a provider that gives OIDC tokens (file or url)',
    executable: 'executables are not supported; pass subjectToken, a function of yours that gives the token',
    certificate: 'certificates are not supported; use a provider that gives OIDC tokens (file or url)',
  })) {
    if (fields.json[name] !== undefined) throw fields.fail(name, `cannot be used: ${what}`)
  }
  const format =
    fields.json.format === undefined ? undefined : new Fields(fields.json.format, `${field}.format`)
  const tokenField = format?.json.type === 'json' ? format.text('subject_token_field_name') : undefined
  if (fields.json.file !== undefined) return { kind: 'file', path: fields.text('file'), field: tokenField }
  if (fields.json.url === undefined)
    throw fields.fail('file', 'is missing; it or url says where the token lies')
  const headers = fields.json.headers ?? {}
  if (!isObject(headers) || !Object.values(headers).every((value) => typeof value === 'string')) {
    throw fields.fail('headers', 'must be an object of texts')
  }
  return {
    kind: 'url',
    url: fields.url('url', undefined, /^https?:$/),
    headers: headers as Record<string, string>,
    field: tokenField,
  }
}

/** Reads one object's fields by name. */
class Fields {
  readonly json: Json
  readonly field: string

  constructor(json: unknown, field: string) {
    if (!isObject(json)) throw fail(field, "must be an object, as in Google's credential file")
    this.json = json
    this.field = field
  }

  text(name: string): string {
    const value = this.json[name]
    if (typeof value === 'string' && value.trim() !== '') return value
    throw this.fail(name, value === undefined ? 'is missing; take a new copy of the file' : 'must be a text')
  }

  optional(name: string): string | undefined {
    return this.json[name] === undefined ? undefined : this.text(name)
  }

  texts(name: string): readonly string[] {
    const value = this.json[name] ?? []
    if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value
    throw this.fail(name, 'must be a list of texts')
  }

  /** An address that secrets may be sent to: https, or this very machine. */
  url(name: string, fallback?: string, protocols: RegExp = /^https:$/): string {
    const value = fallback !== undefined && this.json[name] === undefined ? fallback : this.text(name)
    const url = URL.canParse(value) ? new URL(value) : undefined
    const local = url?.protocol === 'http:' && /^(127\.\d+\.\d+\.\d+|localhost|\[::1\])$/.test(url.hostname)
    if (url && (local || protocols.test(url.protocol))) return value
    throw this.fail(name, 'must be an https address')
  }

  fail(name: string, message: string): FacetError {
    return fail(`${this.field}.${name}`, message)
  }
}

function fail(field: string, message: string): FacetError {
  return new FacetError('invalid_request', `${field} ${message}.`, { field })
}
