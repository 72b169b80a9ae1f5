// A person with matrix-js-sdk: what can be done with it, and what it shows by its own models.
import * as sdk from "matrix-js-sdk";
import { RoomHierarchy } from "matrix-js-sdk/lib/room-hierarchy.js";
import { SlidingSync } from "matrix-js-sdk/lib/sliding-sync.js";

const CHANGES = [
    sdk.ClientEvent.Sync,
    sdk.ClientEvent.Event,
    sdk.ClientEvent.Room,
    sdk.ClientEvent.DeleteRoom,
    sdk.ClientEvent.AccountData,
    sdk.MatrixEventEvent.Replaced,
    sdk.RoomEvent.MyMembership,
    sdk.RoomEvent.Name,
    sdk.RoomEvent.Receipt,
    sdk.RoomEvent.Redaction,
    sdk.RoomEvent.Timeline,
    sdk.RoomEvent.UnreadNotifications,
    sdk.RoomMemberEvent.Membership,
    sdk.RoomMemberEvent.Name,
    sdk.RoomMemberEvent.Typing,
    sdk.RoomStateEvent.Events,
    sdk.ThreadEvent.New,
    sdk.ThreadEvent.NewReply,
    sdk.ThreadEvent.Update,
    sdk.UserEvent.Presence,
];
const WINDOW = { timeline_limit: 20, required_state: [["*", "*"]] };

export class Person {
    constructor(url, ring) {
        this.url = url;
        this.ring = ring;
        this.refusals = [];
        this.client = this.#with({});
    }

    // Coming and going

    async registers(username, password, name) {
        const auth = { type: "m.login.dummy" };
        this.#isLoggedIn(await this.client.register(username, password, null, auth));
        await this.client.setDisplayName(name);
        return this.client.getUserId();
    }

    async logsIn(username, password) {
        const identifier = { type: "m.id.user", user: username };
        const login = { type: "m.login.password", identifier, password };
        this.#isLoggedIn(await this.client.loginRequest(login));
        return this.client.getUserId();
    }

    async starts(sliding) {
        for (const change of CHANGES) this.client.on(change, this.ring);
        const prepared = new Promise((resolve, reject) => {
            this.client.on(sdk.ClientEvent.Sync, (state, _, data) => {
                if (state === sdk.SyncState.Prepared) resolve();
                if (state === sdk.SyncState.Error) reject(data.error);
            });
        });
        const slidingSync = sliding ? this.#sliding() : undefined;
        await this.client.startClient({
            initialSyncLimit: 20,
            lazyLoadMembers: true,
            threadSupport: true,
            slidingSync,
        });
        await prepared;
    }

    stops() {
        this.client.stopClient();
        this.client.removeAllListeners();
        return this.refusals;
    }

    // Rooms

    async creates(name, invite, more) {
        const preset = sdk.Preset.PrivateChat;
        const { room_id: roomId } = await this.client.createRoom({ preset, name, invite, ...more });
        await this.#until(() => this.client.getRoom(roomId)?.name === name);
        return roomId;
    }

    async invites(room, userId) {
        await this.client.invite(this.#room(room).roomId, userId);
    }

    async accepts(room) {
        const { roomId } = this.#room(room);
        await this.client.joinRoom(roomId);
        await this.#until(() => this.client.getRoom(roomId)?.getMyMembership() === "join");
    }

    async joins(roomId) {
        await this.client.joinRoom(roomId);
    }

    // Who invited to a chat with him alone.
    inviterOf(room) {
        return this.#room(room).getDMInviter() ?? null;
    }

    async looksInto(roomId) {
        return (await this.client.peekInRoom(roomId)).name;
    }

    looksAway() {
        this.client.stopPeeking();
    }

    async leaves(room) {
        await this.client.leave(this.#room(room).roomId);
    }

    async removes(room, userId) {
        await this.client.kick(this.#room(room).roomId, userId);
    }

    async setsTopic(room, topic) {
        await this.client.setRoomTopic(this.#room(room).roomId, topic);
    }

    async addsToSpace(space, room) {
        const child = this.#room(room).roomId;
        const content = { via: [this.client.getDomain()] };
        await this.client.sendStateEvent(
            this.#room(space).roomId, sdk.EventType.SpaceChild, content, child,
        );
    }

    // Messages

    async says(room, text) {
        await this.client.sendTextMessage(this.#room(room).roomId, text);
    }

    async edits(room, text, body) {
        await this.#sends(room, {
            "msgtype": "m.text",
            "body": `* ${body}`,
            "m.new_content": { msgtype: "m.text", body },
            "m.relates_to": { rel_type: "m.replace", event_id: this.#event(room, text).getId() },
        });
    }

    async replies(room, to, body) {
        const relation = { "m.in_reply_to": { event_id: this.#event(room, to).getId() } };
        await this.#sends(room, { msgtype: "m.text", body, "m.relates_to": relation });
    }

    async saysInThread(room, root, text) {
        // As Element does: whoever opens a thread has it before somebody wrote in it.
        const found = this.#room(room);
        const event = this.#event(room, root);
        if (!found.getThread(event.getId())) found.createThread(event.getId(), event, [], true);
        await this.client.sendTextMessage(found.roomId, event.getId(), text);
    }

    async reacts(room, text, key) {
        const target = this.#event(room, text).getId();
        const relation = { rel_type: "m.annotation", event_id: target, key };
        const content = { "m.relates_to": relation };
        await this.client.sendEvent(this.#room(room).roomId, "m.reaction", content);
    }

    async takesBack(room, text, key) {
        const mine = this.#annotations(room, text).find(([each]) => each === key)[1];
        const own = [...mine].find((each) => each.getSender() === this.client.getUserId());
        await this.client.redactEvent(this.#room(room).roomId, own.getId());
    }

    async deletes(room, text) {
        await this.client.redactEvent(this.#room(room).roomId, this.#event(room, text).getId());
    }

    // Of the moment

    async reads(room, text) {
        await this.client.sendReadReceipt(this.#event(room, text), sdk.ReceiptType.Read, true);
    }

    async types(room, isTyping) {
        await this.client.sendTyping(this.#room(room).roomId, isTyping, 30_000);
    }

    async isNow(presence) {
        await this.client.setSyncPresence(presence);
        await this.client.setPresence({ presence });
    }

    // What it shows

    rooms(membership) {
        const shown = this.client.getRooms().filter((each) => each.getMyMembership() === membership);
        return shown.map((each) => each.name).sort();
    }

    topic(room) {
        const state = this.#room(room).getLiveTimeline().getState(sdk.Direction.Forward);
        return state.getStateEvents("m.room.topic", "")?.getContent().topic;
    }

    async members(room) {
        await this.#room(room).loadMembersIfNeeded();
        return this.#room(room).getJoinedMembers().map((each) => each.rawDisplayName).sort();
    }

    last(room) {
        return this.texts(room).at(-1);
    }

    texts(room) {
        return texts(this.#room(room).getLiveTimeline().getEvents());
    }

    thread(room, root) {
        const thread = this.#room(room).getThread(this.#event(room, root).getId());
        return texts(thread?.events ?? []).filter((each) => each !== root);
    }

    repliedTo(room, text) {
        const target = this.#event(room, text).replyEventId;
        return target && this.#room(room).findEventById(target)?.getContent().body;
    }

    reactions(room, text) {
        const sets = this.#annotations(room, text).map(([key, events]) => [key, events.size]);
        return Object.fromEntries(sets.filter(([, size]) => size > 0));
    }

    hasRead(room, name, text) {
        const { userId } = this.#member(room, name);
        return this.#room(room).hasUserReadEvent(userId, this.#event(room, text).getId());
    }

    writing(room) {
        const members = this.#room(room).getMembers().filter((each) => each.typing);
        return members.map((each) => each.rawDisplayName).sort();
    }

    unread(room) {
        return this.#room(room).getUnreadNotificationCount(sdk.NotificationCountType.Total);
    }

    unreadInThread(room, root) {
        const rootId = this.#event(room, root).getId();
        return this.#room(room).getThreadUnreadNotificationCount(rootId);
    }

    highlights(room) {
        return this.#room(room).getUnreadNotificationCount(sdk.NotificationCountType.Highlight);
    }

    presence(name) {
        for (const room of this.client.getRooms()) {
            const member = room.getMembers().find((each) => each.rawDisplayName === name);
            if (member) return this.client.getUser(member.userId)?.presence;
        }
    }

    // What is looked up

    async hierarchy(space) {
        const found = new RoomHierarchy(this.#room(space));
        await found.load();
        return found.rooms.map((each) => each.name).sort();
    }

    async finds(term) {
        const { results } = await this.client.searchRoomEvents({ term });
        return results.map((each) => each.context.getEvent().getContent().body);
    }

    async around(room, text) {
        // As a link to a message opens: in a timeline of its own, which grows at both ends.
        const set = new sdk.EventTimelineSet(this.#room(room), { timelineSupport: true });
        const timeline = await this.client.getEventTimeline(set, this.#event(room, text).getId());
        for (const backwards of [true, false]) {
            await this.client.paginateEventTimeline(timeline, { backwards, limit: 1 });
        }
        return texts(timeline.getEvents());
    }

    async goesBack(room) {
        await this.client.scrollback(this.#room(room));
    }

    async listsThreads(room) {
        const found = this.#room(room);
        await found.createThreadsTimelineSets();
        await found.fetchRoomThreads();
        return found.getThreads().map((each) => each.rootEvent.getContent().body).sort();
    }

    async mentions(room, userId, body) {
        await this.#sends(room, { msgtype: "m.text", body, "m.mentions": { user_ids: [userId] } });
    }

    async messageAt(room, text) {
        const { roomId } = this.#room(room);
        const moment = this.#event(room, text).getTs();
        const { event_id: id } = await this.client.timestampToEvent(roomId, moment, "f");
        return this.#room(room).findEventById(id)?.getContent().body;
    }

    accountData(type) {
        return this.client.getAccountData(type)?.getContent();
    }

    async calls(method, ...given) {
        // A method of the library that only looks something up.
        return this.client[method](...given);
    }

    async uploads(base64, options) {
        // A file, as an application hands it to the library.
        const file = new Blob([Buffer.from(base64, "base64")]);
        return (await this.client.uploadContent(file, options)).content_uri;
    }

    async downloads(uri, width, height, method) {
        // As applications do: the library says where, and the token travels in a header.
        const url = this.client.mxcUrlToHttp(uri, width, height, method, false, true, true);
        const headers = { Authorization: `Bearer ${this.client.getAccessToken()}` };
        const answer = await fetch(url, { headers });
        return {
            status: answer.status,
            type: answer.headers.get("Content-Type"),
            disposition: answer.headers.get("Content-Disposition"),
            base64: Buffer.from(await answer.arrayBuffer()).toString("base64"),
        };
    }

    async isRefused(method, ...given) {
        // The error code of a call that must fail.
        const known = this.refusals.length;
        try {
            await this.client[method](...given);
        } catch (error) {
            this.refusals.length = known;
            return error.errcode ?? String(error);
        }
        throw new Error(`${method} was not refused`);
    }

    async proves(password, method, ...given) {
        // A call that asks who it is first; AUTH among the arguments stands for the answer.
        const known = this.refusals.length;
        const call = (auth) => this.client[method](...given.map((e) => (e === "AUTH" ? auth : e)));
        try {
            return await call(undefined);
        } catch (error) {
            this.refusals.length = known;
            const { session, flows } = error.data;
            if (!flows.some(({ stages }) => stages.join() === "m.login.password")) throw error;
            const identifier = { type: "m.id.user", user: this.client.getUserId() };
            return await call({ type: "m.login.password", identifier, password, session });
        }
    }

    roomId(name) {
        return this.#room(name).roomId;
    }

    eventId(room, text) {
        return this.#event(room, text).getId();
    }

    state(room, type, key) {
        const state = this.#room(room).getLiveTimeline().getState(sdk.Direction.Forward);
        return state.getStateEvents(type, key)?.getContent();
    }

    // Inside

    #with(session) {
        const fetchFn = (resource, options) => this.#fetch(resource, options);
        return sdk.createClient({ baseUrl: this.url, fetchFn, timelineSupport: true, ...session });
    }

    #isLoggedIn(session) {
        this.client = this.#with({
            accessToken: session.access_token,
            userId: session.user_id,
            deviceId: session.device_id,
        });
    }

    #sliding() {
        const lists = new Map([["all", { ...WINDOW, ranges: [[0, 99]] }]]);
        return new SlidingSync(this.url, lists, WINDOW, this.client, 30_000);
    }

    async #fetch(resource, options) {
        const answer = await fetch(resource, options);
        if (!answer.ok) {
            const { errcode } = await answer.clone().json();
            const { pathname } = new URL(resource);
            const isProposal = pathname.includes("/unstable/") && errcode === "M_UNRECOGNIZED";
            if (!isProposal) this.refusals.push(`${pathname} ${answer.status} ${errcode}`);
        }
        return answer;
    }

    async #until(look) {
        while (!look()) {
            await new Promise((resolve) => this.client.once(sdk.ClientEvent.Sync, resolve));
        }
    }

    async #sends(room, content) {
        await this.client.sendMessage(this.#room(room).roomId, content);
    }

    #room(name) {
        return seen(this.client.getRooms().find((each) => each.name === name));
    }

    #member(room, name) {
        const members = this.#room(room).getMembers();
        return seen(members.find((each) => each.rawDisplayName === name));
    }

    #event(room, text) {
        const found = this.#room(room);
        const threads = found.getThreads().flatMap((each) => each.events);
        const events = [...found.getLiveTimeline().getEvents(), ...threads];
        return seen(events.find((each) => isMessage(each) && each.getContent().body === text));
    }

    #annotations(room, text) {
        const { relations } = this.#room(room);
        const id = this.#event(room, text).getId();
        const found = relations.getChildEventsForEvent(id, "m.annotation", "m.reaction");
        return found?.getSortedAnnotationsByKey() ?? [];
    }
}

// What has not come to this client, and may yet.
export class NotSeenYet extends Error {}

function seen(found) {
    if (!found) throw new NotSeenYet("this has not come yet");
    return found;
}

function isMessage(event) {
    const isEdit = event.getRelation()?.rel_type === "m.replace";
    return event.getType() === "m.room.message" && !event.isRedacted() && !isEdit;
}

function texts(events) {
    return events.filter(isMessage).map((each) => each.getContent().body);
}
