// One person with matrix-js-sdk and its Rust crypto, for tests in another language. A line of
// standard input is {"id", "do", "with": [...]}, answered by a line {"id", "is"} or {"id", "error"}.
import "./platform.mjs";
import { createInterface } from "node:readline";
import * as sdk from "matrix-js-sdk";
import {
    CryptoEvent, VerificationPhase, VerifierEvent,
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
    async enters(url, username, password) {
        const anonymous = sdk.createClient({ baseUrl: url });
        const auth = { type: "m.login.dummy" };
        const answer = await anonymous.register(username, password, null, auth);
        this.password = password;
        this.client = sdk.createClient({
            baseUrl: url,
            userId: answer.user_id,
            deviceId: answer.device_id,
            accessToken: answer.access_token,
        });
        await this.client.initRustCrypto({ useIndexedDB: false });
        this.client.on(CryptoEvent.VerificationRequestReceived, (request) => {
            this.request = request;
        });
        await this.client.startClient({ initialSyncLimit: 20 });
        await until(() => this.client.isInitialSyncComplete());
        return [answer.user_id, answer.device_id];
    }

    async identity() {
        await this.client.getCrypto().bootstrapCrossSigning({
            authUploadDeviceSigningKeys: (upload) => this.#proves(upload),
        });
    }

    async joins(roomId) {
        await this.client.joinRoom(roomId);
        await until(() => this.client.getRoom(roomId)?.hasEncryptionStateEvent());
    }

    async says(roomId, text) {
        await this.client.sendTextMessage(roomId, text);
    }

    async sends(roomId, content) {
        await this.client.sendMessage(roomId, content);
    }

    async hears(roomId, text) {
        const event = await until(() => this.#message(roomId, text));
        return { encrypted: event.isEncrypted(), content: event.getContent() };
    }

    async accepts() {
        const request = await until(() => this.request);
        await request.accept();
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
    }

    async trusts(userId) {
        await until(async () => {
            const status = await this.client.getCrypto().getUserVerificationStatus(userId);
            return status.isVerified();
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
