/** What each error code and each cause of a deployment means, and what to do: texts for the troubleshooting page. */
import type { CauseName } from '../../deploy/cause.ts'
import type { ErrorCode } from '../../src/errors.ts'

interface Help {
  readonly means: string
  readonly toDo: string
}

/** A code that is missing here does not compile. */
export const CODES: Readonly<Record<ErrorCode, Help>> = {
  invalid_request: {
    means: 'A field of the request, an option or a line of a file is wrong.',
    toDo: 'Mend what the message names; `field` holds it too. [The API](api.md) lists what is taken.',
  },
  context_length_exceeded: {
    means: 'Prompt and answer do not fit into the context of the model.',
    toDo: 'Shorten the conversation, lower `max_tokens`, or serve with a larger `--context`. A router asks a backend with more context.',
  },
  unauthorized: {
    means:
      'No key was shown, or one that is not known; or the sign-in to Google, Hugging Face or Kaggle was refused.',
    toDo: 'Send `Authorization: Bearer KEY` ([edge.md](edge.md#keys)), set `HF_TOKEN` ([models.md](models.md#pulling)), or sign in to Google again ([google.md](google.md#signing-in)).',
  },
  forbidden: {
    means: 'The key or account is known and may not do this; or a page of another origin asked.',
    toDo: 'Accept the terms of the model on its page, ask for the role that the message names, or allow the origin with `--allow-origin` ([edge.md](edge.md#web-pages)).',
  },
  not_found: {
    means: 'There is no such address, file, endpoint or deployment.',
    toDo: 'Check the path: the API lies below `/v1`. Names of endpoints are those of [facet.config.ts](config.md).',
  },
  model_not_found: {
    means: 'The server has no model of that name; a LoRA adapter is asked for as `MODEL:NAME`.',
    toDo: 'Take a name that `GET /v1/models` lists; the message says the nearest. A router asks the backends that have it.',
  },
  method_not_allowed: {
    means: 'The address is there, but not for this HTTP method.',
    toDo: 'Use POST for questions and GET for lists; the `Allow` header says which.',
  },
  request_too_large: {
    means: 'The body or the prompt is larger than the server takes.',
    toDo: 'Send less, or raise `--max-body-bytes` or `--max-prompt-characters` ([edge.md](edge.md#flags-and-variables)). Vertex AI has limits of its own ([google.md](google.md#models-on-vertex-ai)).',
  },
  rate_limited: {
    means: 'More requests or tokens in a minute than the key, or the cloud, allows.',
    toDo: 'Wait as long as `Retry-After` says; the client does. Limits are `--requests-per-minute` and `--tokens-per-minute` ([edge.md](edge.md#rates)).',
  },
  queue_full: {
    means: 'As many requests wait for the engine as may wait.',
    toDo: 'Ask again after `Retry-After`, add a backend behind a [router](client.md), or raise `--slots` and `--queue`.',
  },
  budget_exceeded: {
    means: 'The limit on money or tokens that your own router holds is used up.',
    toDo: 'Wait for the next window, raise the budget, or add a cheaper backend ([client.md](client.md#health-hedging-budgets)).',
  },
  aborted: {
    means: 'Whoever asked left: the signal was aborted, or the connection closed.',
    toDo: 'Nothing, where that was meant. Else look for a deadline of yours or of a proxy in between.',
  },
  internal: {
    means:
      'Something failed that should not: a bug in Facet, or a server that answered 500 without saying more.',
    toDo: 'Look into the log of the server that failed (`backend` names it). If it is Facet, report it with the message.',
  },
  unsupported: {
    means:
      'What is asked for cannot be done here: a feature that this backend, engine, runtime or format does not have, or an optional package that is not installed.',
    toDo: 'Follow the message: it names the package to install, or what to use instead.',
  },
  connection_failed: {
    means:
      'No connection to the server: it does not run, its name does not resolve, or its certificate is refused.',
    toDo: 'Check `baseURL` and that the server runs: `curl ADDRESS/v1/models`. For a deployment, run `facet status TARGET`.',
  },
  bad_response: {
    means: 'The server answered something that is not what its API promises.',
    toDo: 'Check that `baseURL` ends in `/v1` and is the API, not a page or a login in front of it, and that `server` or `protocol` fits.',
  },
  stream_interrupted: {
    means:
      'The answer broke off after some of it had been delivered. It is not asked again, since that would say it twice.',
    toDo: "Drop what came and ask again yourself; or let the client hold answers back until they are whole with `commit: 'finish'` ([client.md](client.md#what-an-answer-promises)).",
  },
  unavailable: {
    means:
      'The server is there and cannot answer now: it loads its model, shuts down, is overloaded, or its deployment is not ready.',
    toDo: 'Wait; `/readyz` says when. For a deployment, the message begins with one of the [causes](#causes-of-a-deployment) below.',
  },
  timeout: {
    means: 'The first token, the next one or the whole took longer than allowed.',
    toDo: 'Raise `firstTokenMs`, `idleMs` or `totalMs` ([client.md](client.md#deadlines)), or the flags of the server. A model that scaled to zero takes minutes to start.',
  },
  out_of_memory: {
    means: 'The model, or its keys and values, do not fit into the memory there is.',
    toDo: 'The message has the figures. Take int4, a smaller `--context`, fewer `--slots`, `--kv 8`, or a smaller model; `facet inspect DIR` computes it beforehand.',
  },
  invalid_checkpoint: {
    means:
      'A checkpoint, adapter or other file to be converted is not what its format says, or is not a Gemma.',
    toDo: 'The message names file and tensor. Pull it again; see [what can be read](models.md#what-can-be-read).',
  },
  invalid_model: {
    means: 'A model directory is incomplete or was not written by this version of Facet.',
    toDo: 'Convert or pull it again; `facet inspect DIR` says what it holds.',
  },
  checksum_mismatch: {
    means: 'The bytes of a file are not those that its manifest or the hub names.',
    toDo: 'Pull or copy the file again. If it happens again, the disk, a proxy or the source is at fault.',
  },
  tokenizer_missing: {
    means: 'The checkpoint comes without its tokenizer.',
    toDo: 'Put `tokenizer.json` or `tokenizer.model` of the model beside it, and convert again.',
  },
  io_failed: {
    means: 'The system refused: no space left, no permission, no such file, or a port that is in use.',
    toDo: 'The message names path or port. Make room, take another folder, or another `--port`.',
  },
}

/** A cause that is missing here does not compile. */
export const DEPLOYMENT_CAUSES: Readonly<Record<CauseName, Help>> = {
  STOCKOUT: {
    means: 'The zone has no machine of that kind at the moment.',
    toDo: 'Wait, name more `zones`, add a `capacity` such as `flex-start` or `spot`, or take another `accelerator`.',
  },
  QUOTA: {
    means: 'The project may not have that many; the message has the quota, what is wanted and the limit.',
    toDo: 'Ask for more of that quota in the console, or take fewer `replicas` or `devices`, or another region.',
  },
  GATED_MODEL: {
    means: 'The licence of the model is not accepted, or the token does not reach the model.',
    toDo: 'Open the page of the model with the account of the token and accept; then set `HF_TOKEN` and run `facet up` again.',
  },
  IMAGE: {
    means: 'The image of the server cannot be pulled or built.',
    toDo: 'Check its name, and that the nodes may read its registry; for Cloud Run, look into the build log that the message names.',
  },
  LOADING: {
    means: 'A machine is being made, or weights are being loaded; the share is told where it is known.',
    toDo: 'Wait. A 7B takes 5 to 20 minutes the first time.',
  },
  OOM_KV: {
    means: 'The weights leave too little memory for the keys and values of one context.',
    toDo: "Lower `contextTokens` or `maxSequences`, take `kvDtype: 'fp8'`, or more `devices`.",
  },
  OOM_HOST: {
    means: 'A container needed more memory than its machine gives it.',
    toDo: 'Take a machine with more memory (`memoryGiB` on Cloud Run, more `devices` elsewhere).',
  },
  PROBE: {
    means: 'A server has started, and its probe does not find it ready, or ended it.',
    toDo: 'Look into `facet logs TARGET`; a model that loads slowly from far away needs its weights nearer, in a bucket.',
  },
  IAM: {
    means: 'Nobody is signed in, or a role is missing; the message names the least that suffices.',
    toDo: 'Grant that role to the account, or sign in ([google.md](google.md#signing-in)).',
  },
  NETWORK: {
    means: 'The server cannot reach what it loads from, or a name does not resolve.',
    toDo: 'Check Cloud NAT, firewall and DNS of the nodes; private nodes have no way out without NAT.',
  },
  CRASH: {
    means: 'The server ended; exit code and last lines stand in the message.',
    toDo: 'Read the lines; `facet logs TARGET` has more of them.',
  },
  SPEC: {
    means: 'The service refuses a field of what was sent.',
    toDo: 'Mend the field in `facet.config.ts`; `facet plan TARGET --resources` prints what is sent.',
  },
  CONFLICT: {
    means: 'Somebody else has set a field, or another operation is under way; the manager is named.',
    toDo: 'Wait for the other, or undo the change by hand; `facet status TARGET` shows it.',
  },
  READY: {
    means: 'The server answers and has the model.',
    toDo: 'Nothing.',
  },
}
