// A play with matrix-js-sdk and its Rust crypto, in one process: cross-signing, secret storage, an
// encrypted room, a backup, and a new device that restores it. Each line of standard output is
// {"step", "is"}; what goes wrong ends the process with an error.
import "./platform.mjs";
import * as sdk from "matrix-js-sdk";
import { CryptoEvent } from "matrix-js-sdk/lib/crypto-api/index.js";

const [url, tag] = process.argv.slice(2);
const PASSWORD = "a password of the tests";
const PATIENCE_MS = 60_000;

for (const level of ["log", "info", "debug", "trace"]) console[level] = () => {};
for (const level of ["warn", "error"]) {
    console[level] = (...message) => process.stderr.write(`${level} ${message.join(" ")}\n`);
}

function tells(step, is) {
    process.stdout.write(JSON.stringify({ step, is }) + "\n");
}

// What the user has written down: the key of his secret storage.
class Notebook {
    keys = new Map();

    callbacks() {
        return {
            getSecretStorageKey: async ({ keys }) => {
                const keyId = Object.keys(keys).find((each) => this.keys.has(each));
                return keyId ? [keyId, this.keys.get(keyId)] : null;
            },
            cacheSecretStorageKey: (keyId, _info, key) => this.keys.set(keyId, key),
        };
    }
}

async function until(emitter, events, condition) {
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
        const found = await condition();
        if (found) return found;
        if (Date.now() > deadline) throw new Error(`waited in vain: ${condition}`);
        await new Promise((resolve) => {
            const go = () => {
                clearTimeout(timer);
                for (const each of events) emitter.off(each, go);
                resolve();
            };
            const timer = setTimeout(go, 500);
            for (const each of events) emitter.on(each, go);
        });
    }
}

async function device(name, notebook, { isNew }) {
    const anonymous = sdk.createClient({ baseUrl: url });
    const username = `${name}.${tag}`;
    const answer = isNew
        ? await anonymous.register(username, PASSWORD, null, { type: "m.login.dummy" })
        : await anonymous.loginRequest({
            type: "m.login.password",
            identifier: { type: "m.id.user", user: username },
            password: PASSWORD,
        });
    const client = sdk.createClient({
        baseUrl: url,
        userId: answer.user_id,
        deviceId: answer.device_id,
        accessToken: answer.access_token,
        cryptoCallbacks: notebook.callbacks(),
    });
    await client.initRustCrypto({ useIndexedDB: false });
    await client.startClient({ initialSyncLimit: 20 });
    await until(client, [sdk.ClientEvent.Sync], () => client.isInitialSyncComplete());
    return client;
}

function proofOf(client) {
    return async (upload) => {
        try {
            return await upload(null);
        } catch (error) {
            if (error.httpStatus !== 401) throw error;
            tells("was asked for a proof", error.data.flows[0].stages);
            return upload({
                type: "m.login.password",
                identifier: { type: "m.id.user", user: client.getUserId() },
                password: PASSWORD,
                session: error.data.session,
            });
        }
    };
}

async function identity(client, more) {
    await client.getCrypto().bootstrapCrossSigning({
        authUploadDeviceSigningKeys: proofOf(client), ...more,
    });
}

function texts(client, roomId) {
    const events = client.getRoom(roomId)?.getLiveTimeline().getEvents() ?? [];
    return events
        .filter((event) => event.getType() === "m.room.message" && event.isEncrypted())
        .map((event) => event.getContent().body);
}

async function shows(client, roomId, text) {
    const events = [sdk.ClientEvent.Event, sdk.MatrixEventEvent.Decrypted];
    await until(client, events, () => texts(client, roomId).includes(text));
}

const notebook = new Notebook();
const alice = await device("alice", notebook, { isNew: true });
const bob = await device("bob", new Notebook(), { isNew: true });

await identity(alice, {});
await alice.getCrypto().bootstrapSecretStorage({
    createSecretStorageKey: () => alice.getCrypto().createRecoveryKeyFromPassphrase(),
    setupNewKeyBackup: true,
});
tells("cross-signing is ready", await alice.getCrypto().isCrossSigningReady());
tells("secret storage is ready", await alice.getCrypto().isSecretStorageReady());
await identity(bob, {});

const { room_id: roomId } = await alice.createRoom({
    invite: [bob.getUserId()],
    initial_state: [{
        type: "m.room.encryption",
        state_key: "",
        content: { algorithm: "m.megolm.v1.aes-sha2" },
    }],
});
await until(bob, [sdk.RoomEvent.MyMembership], () => bob.getRoom(roomId));
await bob.joinRoom(roomId);
await until(
    alice, [sdk.RoomMemberEvent.Membership],
    () => alice.getRoom(roomId)?.getMember(bob.getUserId())?.membership === "join",
);
await alice.sendTextMessage(roomId, "hello");
await shows(bob, roomId, "hello");
await bob.sendTextMessage(roomId, "hello yourself");
await shows(alice, roomId, "hello yourself");
tells("they read each other", [texts(alice, roomId), texts(bob, roomId)]);

const version = await alice.getCrypto().getActiveSessionBackupVersion();
await until(
    alice, [CryptoEvent.KeyBackupSessionsRemaining],
    // The library remembers what it heard of the backup before.
    async () => (await alice.http.authedRequest("GET", "/room_keys/version")).count >= 2,
);
tells("a backup is there", typeof version);

const laptop = await device("alice", notebook, { isNew: false });
await until(
    laptop, [CryptoEvent.KeysChanged],
    () => laptop.getCrypto().userHasCrossSigningKeys(laptop.getUserId(), true),
);
await identity(laptop, {});
// It hears of that as everybody does: its own device has changed.
const isSigned = await until(laptop, [CryptoEvent.DevicesUpdated], async () => {
    const status = await laptop.getCrypto()
        .getDeviceVerificationStatus(laptop.getUserId(), laptop.getDeviceId());
    return status?.signedByOwner;
});
tells("the new device is signed", isSigned);
await laptop.getCrypto().loadSessionBackupPrivateKeyFromSecretStorage();
const restored = await laptop.getCrypto().restoreKeyBackup();
tells("keys were restored", restored.imported >= 2);
await shows(laptop, roomId, "hello");
await shows(laptop, roomId, "hello yourself");
tells("it reads what was before it", texts(laptop, roomId));

await until(bob, [CryptoEvent.DevicesUpdated], async () => {
    const devices = await bob.getCrypto().getUserDeviceInfo([alice.getUserId()], true);
    return devices.get(alice.getUserId())?.size === 2;
});
await bob.sendTextMessage(roomId, "to both");
await shows(laptop, roomId, "to both");
await shows(alice, roomId, "to both");
tells("both devices read", true);

await laptop.logout(true);
await until(bob, [CryptoEvent.DevicesUpdated], async () => {
    const devices = await bob.getCrypto().getUserDeviceInfo([alice.getUserId()], true);
    return devices.get(alice.getUserId())?.size === 1;
});
tells("a device that is gone is forgotten", true);

await identity(alice, { setupNewCrossSigning: true });
tells("another identity needs a proof", true);
alice.stopClient();
bob.stopClient();
process.exit(0);
