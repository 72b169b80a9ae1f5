"""What a broken auth rule means to the person who broke it."""

from homeserver.auth.verdict import Rule
from homeserver.errors import NotAllowed

_SENTENCES = {
    Rule.SENDER_NOT_JOINED: "You are not a member of this room.",
    Rule.JOIN_BANNED: "You are banned from this room.",
    Rule.JOIN_NOT_INVITED: "You need an invitation to join this room.",
    Rule.JOIN_RULE_FORBIDS: "This room cannot be joined.",
    Rule.JOIN_AUTHORISER: "Nobody who may invite has vouched for this join.",
    Rule.INVITE_SENDER_NOT_JOINED: "Only members can invite people.",
    Rule.INVITE_TARGET_JOINED_OR_BANNED: "This person is a member already, or is banned.",
    Rule.INVITE_LEVEL: "Your role in this room does not let you invite people.",
    Rule.LEAVE_NOT_IN_ROOM: "You are not in this room.",
    Rule.KICK_SENDER_NOT_JOINED: "Only members can remove people.",
    Rule.KICK_LEVEL: "Your role in this room does not let you remove this person.",
    Rule.UNBAN_LEVEL: "Your role in this room does not let you lift bans.",
    Rule.BAN_SENDER_NOT_JOINED: "Only members can ban people.",
    Rule.BAN_LEVEL: "Your role in this room does not let you ban this person.",
    Rule.EVENT_LEVEL: "Your role in this room does not let you do this.",
    Rule.STATE_KEY_OF_ANOTHER_USER: "This setting belongs to another user.",
    Rule.ROOM_NOT_FEDERATED: "This room is open to users of one server only.",
    Rule.POWER_LEVELS_CHANGE_USER_NOT_BELOW_SENDER: (
        "You can only change the role of people whose role is below yours."
    ),
    Rule.POWER_LEVELS_SET_USER_ABOVE_SENDER: "You cannot give a role above your own.",
}


class RuleBroken(NotAllowed):
    """An auth rule forbids the event that somebody asked for."""

    def __init__(self, rule: Rule) -> None:
        super().__init__(
            _SENTENCES.get(rule, f"The rules of this room do not allow this ({rule.value}).")
        )
        self.rule = rule
