// One person with matrix-js-sdk and its Rust crypto, for tests in another language. A line of
// standard input is {"id", "do", "with": [...]}, answered by a line {"id", "is"} or {"id", "error"}.
import "./platform.mjs";
import { createInterface } from "node:readline";
import * as sdk from "matrix-js-sdk";
import { Attachment, EncryptedAttachment } from "@matrix-org/matrix-sdk-crypto-wasm";
import {
    CryptoEvent, decodeRecoveryKey, VerificationPhase, VerifierEvent,
} from "matrix-js-sdk/lib/crypto-api/index.js";

const POLL_MS = 50;

for (const level of ["log", "info", "debug", "trace"]) console[level] = () => {};
for (const level of ["warn", "error"]) {
    console[level] = (...message) => process.stderr.write(`${level} ${message.join(" ")}\n`);
}

async function until(look) {
    for (;;) {
        const found = await look();
        if (found) return found;
        await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
}

class Person {
    recoveryKeys = new Map();

    async registers(url, username, password) {
        const auth = { type: "m.login.dummy" };
        const anonymous = sdk.createClient({ baseUrl: url });
        return this.#starts(url, await anonymous.register(username, password, null, auth), password);
    }

    async logsIn(url, userId, password) {
        const identifier = { type: "m.id.user", user: userId };
        const login = { type: "m.login.password", identifier, password };
        return this.#starts(url, await sdk.createClient({ baseUrl: url }).loginRequest(login), password);
    }

    async #starts(url, { user_id: userId, device_id: deviceId, access_token: accessToken }, password) {
        this.password = password;
        this.client = sdk.createClient({
            baseUrl: url,
            userId,
            deviceId,
            accessToken,
            cryptoCallbacks: {
                getSecretStorageKey: async ({ keys }) => {
                    const keyId = Object.keys(keys).find((each) => this.recoveryKeys.has(each))
                        ?? Object.keys(keys)[0];
                    return [keyId, this.recoveryKeys.get(keyId) ?? this.recoveryKeys.get("typed")];
                },
                cacheSecretStorageKey: (keyId, _info, key) => this.recoveryKeys.set(keyId, key),
            },
        });
        await this.client.initRustCrypto({ useIndexedDB: false });
        this.client.on(CryptoEvent.VerificationRequestReceived, (request) => {
            this.request = request;
        });
        await this.client.startClient({ initialSyncLimit: 20 });
        await until(() => this.client.isInitialSyncComplete());
        return [userId, deviceId];
    }

    async logsOut() {
        await this.client.logout(true);
    }

    // Identity and recovery

    async identity() {
        await this.client.getCrypto().bootstrapCrossSigning({
            authUploadDeviceSigningKeys: (upload) => this.#proves(upload),
        });
    }

    async setsUpRecovery() {
        // Secret storage and a backup, once. The recovery key, as the user writes it down.
        if (this.writtenDown) return this.writtenDown;
        const crypto = this.client.getCrypto();
        const key = await crypto.createRecoveryKeyFromPassphrase();
        await crypto.bootstrapSecretStorage({
            createSecretStorageKey: async () => key, setupNewKeyBackup: true,
        });
        this.writtenDown = key.encodedPrivateKey;
        return this.writtenDown;
    }

    async backedUp(count) {
        await until(async () => {
            const { count: found } = await this.client.http.authedRequest("GET", "/room_keys/version");
            return found >= count;
        });
    }

    async recovers(recoveryKey) {
        // What Element does with it on a new device. How many room keys were restored.
        const crypto = this.client.getCrypto();
        this.recoveryKeys.set("typed", decodeRecoveryKey(recoveryKey));
        await until(() => crypto.userHasCrossSigningKeys(this.client.getUserId(), true));
        await this.identity();
        if (!(await crypto.getKeyBackupInfo())) return 0;
        await crypto.loadSessionBackupPrivateKeyFromSecretStorage();
        return (await crypto.restoreKeyBackup()).imported;
    }

    async importsKeys(sessions) {
        await this.client.getCrypto().importRoomKeysAsJson(sessions);
    }

    async exportsKeys() {
        return this.client.getCrypto().exportRoomKeysAsJson();
    }

    async isSigned() {
        const [userId, deviceId] = [this.client.getUserId(), this.client.getDeviceId()];
        await until(async () => {
            const crypto = this.client.getCrypto();
            return (await crypto.getDeviceVerificationStatus(userId, deviceId))?.signedByOwner;
        });
    }

    // Rooms

    async creates(name, invite, rotation) {
        const { room_id: roomId } = await this.client.createRoom({
            name,
            invite,
            initial_state: [{
                type: "m.room.encryption",
                state_key: "",
                content: { algorithm: "m.megolm.v1.aes-sha2", ...rotation },
            }],
        });
        await until(() => this.client.getRoom(roomId)?.hasEncryptionStateEvent());
        return roomId;
    }

    async invites(roomId, userId) {
        await this.client.invite(roomId, userId);
    }

    async joins(roomId) {
        await until(() => this.client.getRoom(roomId));
        await this.client.joinRoom(roomId);
        await until(() => this.client.getRoom(roomId)?.hasEncryptionStateEvent());
    }

    async seesMember(roomId, userId, membership) {
        const member = () => this.client.getRoom(roomId)?.getMember(userId);
        await until(() => member()?.membership === membership);
    }

    async seesDevices(userId, count) {
        const crypto = this.client.getCrypto();
        await until(async () => (await crypto.getUserDeviceInfo([userId])).get(userId)?.size === count);
    }

    // Messages

    async says(roomId, text) {
        return (await this.client.sendTextMessage(roomId, text)).event_id;
    }

    async hears(roomId, text) {
        const event = await until(() => this.#message(roomId, text));
        return {
            encrypted: event.isEncrypted(),
            sender: event.getSender(),
            session: event.getWireContent().session_id,
            content: event.getContent(),
        };
    }

    async cannotRead(roomId, eventId) {
        const event = () => this.client.getRoom(roomId)?.findEventById(eventId);
        await until(() => event()?.isDecryptionFailure());
        return event().decryptionFailureReason;
    }

    sharesWithVerifiedOnly(isSo) {
        this.client.getCrypto().globalBlacklistUnverifiedDevices = isSo;
    }

    async sendsFile(roomId, name, plain) {
        const encrypted = Attachment.encrypt(Buffer.from(plain, "base64"));
        const file = JSON.parse(encrypted.mediaEncryptionInfo);
        const { content_uri: url } = await this.client.uploadContent(
            new Blob([encrypted.encryptedData]), { type: "application/octet-stream" },
        );
        const content = { msgtype: "m.file", body: name, filename: name, file: { ...file, url } };
        await this.client.sendMessage(roomId, content);
    }

    async readsFile(roomId, name) {
        const { content } = await this.hears(roomId, name);
        const url = this.client.mxcUrlToHttp(
            content.file.url, undefined, undefined, undefined, false, true, true,
        );
        const headers = { Authorization: `Bearer ${this.client.getAccessToken()}` };
        const response = await fetch(url, { headers });
        const cipher = new Uint8Array(await response.arrayBuffer());
        const info = JSON.stringify(content.file);
        return Buffer.from(Attachment.decrypt(new EncryptedAttachment(cipher, info))).toString("base64");
    }

    // Verification

    async asks(roomId, userId) {
        this.request = await this.client.getCrypto().requestVerificationDM(userId, roomId);
    }

    async asksDevice(userId, deviceId) {
        const crypto = this.client.getCrypto();
        await until(async () => {
            return (await crypto.getUserDeviceInfo([userId], true)).get(userId)?.has(deviceId);
        });
        this.request = await crypto.requestDeviceVerification(userId, deviceId);
    }

    async asksOwnDevices() {
        const crypto = this.client.getCrypto();
        await until(() => crypto.userHasCrossSigningKeys(this.client.getUserId(), true));
        this.request = await crypto.requestOwnUserVerification();
    }

    async hasSecrets() {
        const crypto = this.client.getCrypto();
        await until(() => crypto.isCrossSigningReady());
        await until(() => crypto.getSessionBackupPrivateKey());
    }

    async accepts() {
        await until(() => this.request);
        await this.request.accept();
    }

    async startsSas() {
        await until(() => this.request.phase === VerificationPhase.Ready);
        await this.request.startVerification("m.sas.v1");
    }

    async showsQr() {
        await until(() => this.request.phase === VerificationPhase.Ready);
        return Buffer.from(await this.request.generateQRCode()).toString("base64");
    }

    async scansQr(code) {
        await until(() => this.request.phase === VerificationPhase.Ready);
        const verifier = await this.request.scanQRCode(new Uint8ClampedArray(Buffer.from(code, "base64")));
        await verifier.verify();
        this.request = undefined;
    }

    async confirmsScan() {
        // The other side says that it scanned our code.
        await until(() => this.request.verifier);
        const { verifier } = this.request;
        const done = verifier.verify();
        const shown = await until(() => verifier.getReciprocateQrCodeCallbacks());
        shown.confirm();
        await done;
        this.request = undefined;
    }

    async shortStrings() {
        const started = () => this.request.phase === VerificationPhase.Started;
        await until(() => started() && this.request.verifier);
        const { verifier } = this.request;
        verifier.on(VerifierEvent.ShowSas, (sas) => { this.sas = sas; });
        this.done = verifier.verify();
        await until(() => (this.sas ??= verifier.getShowSasCallbacks()));
        return this.sas.sas;
    }

    async confirms() {
        await this.sas.confirm();
        await this.done;
        this.request = this.sas = undefined;
    }

    async trusts(userId) {
        await until(async () => {
            const status = await this.client.getCrypto().getUserVerificationStatus(userId);
            return status.isVerified();
        });
    }

    async trustsDevice(userId, deviceId) {
        await until(async () => {
            const crypto = this.client.getCrypto();
            return (await crypto.getDeviceVerificationStatus(userId, deviceId))?.isVerified();
        });
    }

    #message(roomId, text) {
        const events = this.client.getRoom(roomId)?.getLiveTimeline().getEvents() ?? [];
        return events.find((each) => each.getContent().body === text);
    }

    async #proves(upload) {
        try {
            return await upload(null);
        } catch (error) {
            if (error.httpStatus !== 401) throw error;
            const identifier = { type: "m.id.user", user: this.client.getUserId() };
            const { session } = error.data;
            const { password } = this;
            return upload({ type: "m.login.password", identifier, password, session });
        }
    }
}

const person = new Person();

async function carryOut({ id, do: verb, with: given }) {
    let answer;
    try {
        answer = { id, is: (await person[verb](...given)) ?? null };
    } catch (error) {
        answer = { id, error: String(error?.stack ?? error) };
    }
    process.stdout.write(JSON.stringify(answer) + "\n");
}

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => void carryOut(JSON.parse(line)));
lines.on("close", () => process.exit(0));
