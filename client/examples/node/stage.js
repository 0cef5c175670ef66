// Stages pages into a launch with @grpc/grpc-js: counts, short counts, ALREADY_EXISTS, and what the error details say.
//
// usage: node stage.js ADDRESS LAUNCH_ID [PLATFORM]     ADDRESS: unix:/path or tcp:HOST:PORT     PLATFORM: sim (default) or kvm
// Over TCP: STAGEPAGES_CA, STAGEPAGES_CERT and STAGEPAGES_KEY name the files of mutual TLS.
//
// Needs `npm install` of package.json. Exits non-zero on any surprise.
'use strict';

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { promisify } = require('node:util');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');
const protobuf = require('protobufjs');

const PAGE = 4096;
const proto = path.resolve(__dirname, '../../../proto');

// 64-bit fields as decimal strings: a JavaScript number holds no GPA above 2^53 exactly.
const definition = loader.loadSync('stagepages/v1/launch.proto', { includeDirs: [proto], longs: String, enums: String, defaults: true });
const { LaunchService } = grpc.loadPackageDefinition(definition).stagepages.v1;

// proto-loader has no decoder for messages that come outside of a call, such as details; so these two are spelled out.
const rpc = protobuf.parse(`syntax = "proto3"; package google.rpc;
  message Any { string type_url = 1; bytes value = 2; }
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message ErrorInfo { string reason = 1; string domain = 2; map<string, string> metadata = 3; }`, { keepCase: true }).root;

/** The ErrorInfo of an error. Clients branch on its reason, never on the code or the message. */
function errorInfo(error) {
  const [raw] = error.metadata.get('grpc-status-details-bin');
  assert.ok(raw, `no details in ${error}`);
  assert.ok(raw.length <= PAGE, `${raw.length} bytes of details`);
  const { details } = rpc.lookupType('google.rpc.Status').decode(raw);
  const found = details.find((detail) => detail.type_url.endsWith('/google.rpc.ErrorInfo'));
  const info = rpc.lookupType('google.rpc.ErrorInfo').decode(found.value);
  assert.equal(info.domain, 'stagepages');
  return info;
}

/** The code and ErrorInfo of a call that must be refused. */
async function refusal(call) {
  const error = await call.then((answer) => assert.fail(`not refused: ${JSON.stringify(answer)}`), (refused) => refused);
  if (error instanceof assert.AssertionError) throw error;
  return [grpc.status[error.code], errorInfo(error)];
}

function show(what, expected, got) {
  console.log(`${what}:`, got);
  assert.deepEqual(got, expected);
}

/** Over TCP mutual TLS, over a Unix socket nothing: the kernel says who calls. */
function credentials(address) {
  if (!address.startsWith('tcp:')) return grpc.credentials.createInsecure();
  const [ca, key, cert] = ['CA', 'KEY', 'CERT'].map((name) => fs.readFileSync(process.env[`STAGEPAGES_${name}`]));
  return grpc.credentials.createSsl(ca, key, cert);
}

async function main(address, id, platform = 'sim') {
  // grpc-js takes unix:/path as it is and sends `localhost` as the authority; C-core clients have to be told to.
  const client = new LaunchService(address.replace(/^tcp:/, ''), credentials(address));
  const call = (method, request) => promisify(client[method].bind(client))(request);
  const name = `launches/${id}`;
  const stage = (first, fill, more = {}) => call('StagePages', {
    name, gpa: first * PAGE, pageType: 'PAGE_TYPE_NORMAL', data: Buffer.concat(fill.map((byte) => Buffer.alloc(PAGE, byte))), ...more,
  });

  const spec = { platform: `PLATFORM_${platform.toUpperCase()}`, regions: [{ gpa: 0, size: 16 * PAGE }] };
  const { launch } = await call('CreateLaunch', { launchId: id, spec });
  show('created', 'LAUNCH_STATE_CREATED', launch.state);

  const first = await stage(1, [0xa1, 0xa2]);
  show('pages 1 and 2 staged, installed', '2', first.installedPages);

  const short = await stage(0, [0xa0, 0xa1, 0xa2, 0xa3], { requestId: 'short' });
  show('pages 0 to 3 staged, installed', '1', short.installedPages);
  show('stopped by', { gpa: '4096', pageType: 'PAGE_TYPE_NORMAL', identical: true, identicalPages: '2' }, { ...short.stop });

  const repeat = await stage(0, [0xa0, 0xa1, 0xa2, 0xa3], { requestId: 'short' });
  show('the same request id again has the same answer', short, repeat);
  const kept = await call('GetStageResult', { name, requestId: 'short' });
  show('which can be looked up after a lost connection', short, kept.result);

  let [code, info] = await refusal(stage(1, [0xa1, 0xa2]));
  show('the same bytes again', ['ALREADY_EXISTS', 'ALREADY_INSTALLED'], [code, info.reason]);
  show('identical, pages from there on', ['true', '2'], [info.metadata.identical, info.metadata.identical_pages]);

  [code, info] = await refusal(stage(2, [0xbb]));
  show('other bytes', ['ALREADY_EXISTS', 'ALREADY_INSTALLED'], [code, info.reason]);
  show('identical, GPA', ['false', '0x2000'], [info.metadata.identical, info.metadata.gpa]);

  const verified = await call('VerifyLaunch', { name });
  show('verified (consistent, pages)', [true, '3'], [verified.consistent, verified.pagesChecked]);

  const aborted = await call('AbortLaunch', { name });
  show('aborted', 'LAUNCH_STATE_ABORTED', aborted.launch.state);
  [code, info] = await refusal(stage(5, [0xa5]));
  show('staging after that', ['FAILED_PRECONDITION', 'WRONG_STATE'], [code, info.reason]);
  client.close();
}

const [address, id, platform] = process.argv.slice(2);
if (!address || !id) {
  console.error('usage: node stage.js ADDRESS LAUNCH_ID [PLATFORM]');
  process.exit(2);
}
main(address, id, platform).catch((error) => {
  console.error(error);
  process.exit(1);
});
