/**
 * The contract on an implementation that is not ours: the service that `CELLOS_FLEET_TEST_ENDPOINT`
 * names, with the credentials of the environment, or else `moto_server` where it is installed. Every
 * test makes a bucket of its own and removes it.
 */
import { CreateBucketCommand, DeleteBucketCommand } from "@aws-sdk/client-s3";
import { connectS3 } from "../../lib/edge/s3_client.ts";
import type { Environment } from "../../lib/edge/s3_credentials.ts";
import { createS3Store } from "../../lib/edge/s3_store.ts";
import { type MotoServer, motoServerPath, startMotoServer } from "./moto_server.ts";
import { type OpenStore, storeContract, type StoreLimits } from "./store_contract.ts";
import { unsendableKeys } from "./unsendable_keys.ts";

const givenEndpoint = Deno.env.get("CELLOS_FLEET_TEST_ENDPOINT");
const motoPath = givenEndpoint ? undefined : motoServerPath();
let moto: MotoServer | undefined;

if (motoPath !== undefined) {
  Deno.test.beforeAll(async () => {
    moto = await startMotoServer(motoPath);
  });
  Deno.test.afterAll(async () => await moto?.[Symbol.asyncDispose]());
}

const MOTO_LIMITS: StoreLimits = {
  ignoresCopyCondition: true,
  racyConditions: true,
  keys: new Map([...unsendableKeys(), ["line\nfeed", "moto does not route it"]]),
};

let opened = 0;

async function open(): Promise<OpenStore> {
  const endpoint = givenEndpoint ?? moto!.endpoint;
  const bucket = `cellos-fleet-test-${crypto.randomUUID().slice(0, 8)}-${++opened}`;
  const environment: Environment = givenEndpoint
    ? Deno.env.toObject()
    : { AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test" };
  const region = environment.AWS_REGION || "us-east-1";
  const settings = { endpoint, environment, region, userAgent: "cellos-fleet/test" };
  const store = createS3Store({ ...settings, bucket, requestTimeoutMs: 60_000 });
  const connection = connectS3({
    ...settings,
    pathStyle: "true",
    connectTimeoutMs: 5_000,
    maxSockets: 1,
  });
  await connection.once.send(new CreateBucketCommand({ Bucket: bucket }));
  return {
    store,
    async [Symbol.asyncDispose]() {
      for (let empty = false; !empty;) {
        const { objects, truncated } = await store.list({ prefix: "" });
        await Promise.all(objects.map(({ key }) => store.delete(key, undefined)));
        empty = !truncated;
      }
      store[Symbol.dispose]();
      await connection.once.send(new DeleteBucketCommand({ Bucket: bucket }));
      connection[Symbol.dispose]();
    },
  };
}

storeContract(
  givenEndpoint ? "S3 store on CELLOS_FLEET_TEST_ENDPOINT" : "S3 store on moto_server",
  open,
  givenEndpoint
    ? { keys: unsendableKeys() }
    : motoPath === undefined
    ? { unavailable: "CELLOS_FLEET_TEST_ENDPOINT is not set, and there is no moto_server" }
    : MOTO_LIMITS,
);
