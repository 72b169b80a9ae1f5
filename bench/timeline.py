"""What a room holds, read page by page."""

from bench.population import Address, Person
from bench.rest import RESTClient

_PAGE = 200


async def numbers_in(address: Address, room: str, reader: Person) -> list[int]:
    """The numbers of all messages in the order of the room."""
    numbers: list[int] = []
    before = ""
    async with RESTClient(address) as client:
        while True:
            path = f"/api/rooms/{room}/messages?limit={_PAGE}{before}"
            page = await client.call("GET", path, token=reader.token)
            numbers[:0] = [int(message["content"].partition(" ")[0]) for message in page]
            if len(page) < _PAGE:
                return numbers
            before = f"&before={page[0]['id']}"
