// What matrix-js-sdk takes for granted and older versions of Node do not have: it must be imported
// before the library.
import { webcrypto } from "node:crypto";

globalThis.crypto ??= webcrypto;

Promise.withResolvers ??= function () {
    let resolve, reject;
    const promise = new this((resolved, rejected) => {
        resolve = resolved;
        reject = rejected;
    });
    return { promise, resolve, reject };
};
