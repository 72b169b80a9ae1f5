// People with matrix-js-sdk, for tests that are written in another language.
//
// A line of standard input is {"id", "who", "do", "with": [...]}; it is answered by a line of
// standard output, {"id", "is"} or {"id", "error"}; "unseen" is true where something has not come
// yet. {"who", "changed": true} says that something came. Everything else, like what the library
// logs, goes to standard error.
import "./platform.mjs";
import { createInterface } from "node:readline";
import { NotSeenYet, Person } from "./person.mjs";

const people = new Map();

function say(message) {
    process.stdout.write(JSON.stringify(message) + "\n");
}

async function carryOut({ id, who, do: verb, with: given }) {
    try {
        if (verb === "enters") {
            people.set(who, new Person(given[0], () => say({ who, changed: true })));
            say({ id, is: null });
        } else {
            say({ id, is: (await people.get(who)[verb](...given)) ?? null });
        }
    } catch (error) {
        const unseen = error instanceof NotSeenYet;
        say({ id, error: String(error?.stack ?? error), unseen });
    }
}

for (const level of ["log", "info", "debug", "trace"]) console[level] = () => {};
for (const level of ["warn", "error"]) {
    console[level] = (...message) => process.stderr.write(`${level} ${message.join(" ")}\n`);
}
const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => void carryOut(JSON.parse(line)));
lines.on("close", () => process.exit(0));
