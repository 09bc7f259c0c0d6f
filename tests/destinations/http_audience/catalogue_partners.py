"""Fake platforms of the catalogue: real servers on loopback that enforce the documented rules and keep the lists."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from http_audience_cases import NOW_US

from gateway.destinations.base import Batch, Context, Owed, Performed
from gateway.destinations.http_audience.catalog import catalog
from gateway.destinations.http_client import PartnerHttp
from gateway.destinations.rehearsal import FreshNotes

HEX = re.compile(r"[0-9a-f]{64}")
WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"a key of twenty-four byte").decode()


class Call:
    """One request as a platform sees it."""

    def __init__(self, method: str, target: str, headers: Mapping[str, str], raw: bytes) -> None:
        parts = urlsplit(target)
        self.method = method
        self.path = parts.path
        self.query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.raw = raw
        is_json = self.headers.get("content-type") == "application/json"
        self.body: Any = json.loads(raw) if raw and is_json else raw.decode()

    @property
    def name(self) -> str:
        """Method and path."""
        return f"{self.method} {self.path}"


class Platform:
    """A platform: `answer` gives status and body. refuse: answers to give first, whatever comes."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.refuse: list[tuple[int, Any]] = []

    def answer(self, call: Call) -> tuple[int, Any]:
        raise NotImplementedError

    def answered(self, call: Call) -> tuple[int, Any]:
        self.calls.append(call)
        return self.refuse.pop(0) if self.refuse else self.answer(call)


@contextmanager
def served(platform: Platform) -> Iterator[str]:
    """The platform's address while it runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            call = Call(self.command, self.path, dict(self.headers.items()), raw)
            status, value = platform.answered(call)
            body = b"" if value is None else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = respond  # noqa: N815 - the names http.server looks for

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def run(
    slug: str,
    platform: Platform,
    settings: dict[str, object],
    entry: dict[str, object],
    *batches: tuple[str, list[dict[str, object]]],
    prefix: str = "",
) -> list[Performed]:
    """Hand batches of (operation, payloads) to a shipped destination, one after the other, with one set of notes."""
    destination = catalog()[slug]

    async def meet(url: str) -> list[Performed]:
        http = PartnerHttp(version="0")
        given = {**settings, "base_url": f"{url}{prefix}"}
        if "token_url" in settings:
            given["token_url"] = f"{url}{settings['token_url']}"
        try:
            context = Context(http=http.lane(allow_private=True), notes=FreshNotes(), now_us=NOW_US)
            return [
                await destination.perform(
                    Batch(
                        action="syncAudience",
                        settings=given,
                        corrections=frozenset(),
                        owed=tuple(
                            Owed(
                                id=number,
                                operation=operation,
                                payload=payload,
                                member=f"user_id:{number}",
                                audience_key="big_spenders",
                                audience_settings=entry,
                            )
                            for number, payload in enumerate(payloads)
                        ),
                    ),
                    context,
                )
                for operation, payloads in batches
            ]
        finally:
            await http.aclose()

    with served(platform) as url:
        return asyncio.run(meet(url))


def kinds(done: Performed) -> list[str]:
    """How each delivery ended, by name."""
    return [type(outcome).__name__ for outcome in done.outcomes]


class Meta(Platform):
    """Graph API: custom audiences by rows of digests; a bad row is counted, never named."""

    def __init__(self) -> None:
        super().__init__()
        self.lists: dict[str, set[tuple[str, ...]]] = {"23850000000001": set()}

    def answer(self, call: Call) -> tuple[int, Any]:
        if call.headers.get("authorization") != "Bearer meta-token":
            return 400, {"error": {"code": 190, "type": "OAuthException", "message": "Error validating access token"}}
        proof = hmac.new(b"meta-secret", b"meta-token", "sha256").hexdigest()
        if call.query.get("appsecret_proof") != proof:
            return 400, {"error": {"code": 100, "message": "Invalid appsecret_proof provided"}}
        if call.name == "POST /v26.0/act_4455667788/customaudiences":
            assert call.body["subtype"] == "CUSTOM"
            assert call.body["customer_file_source"] == "USER_PROVIDED_ONLY"
            self.lists["23850000000002"] = set()
            return 200, {"id": "23850000000002"}
        found = re.fullmatch(r"/v26\.0/([0-9]+)/users", call.path)
        if found is None or found[1] not in self.lists:
            return 400, {"error": {"code": 100, "error_subcode": 33, "message": "Unsupported request"}}
        schema, rows = call.body["payload"]["schema"], call.body["payload"]["data"]
        if len(rows) > 10_000:
            return 400, {"error": {"code": 100, "message": "too many"}}
        good = [tuple(row) for row in rows if self.is_good(schema, row)]
        people = self.lists[found[1]]
        if call.method == "POST":
            people.update(good)
        else:
            people.difference_update(good)
        bad = len(rows) - len(good)
        return 200, {"audience_id": found[1], "num_received": len(rows), "num_invalid_entries": bad}

    @staticmethod
    def is_good(schema: list[str], row: list[Any]) -> bool:
        plain = {"EXTERN_ID", "MADID"}
        return len(row) == len(schema) and all(
            isinstance(value, str) and (name in plain or not value or HEX.fullmatch(value))
            for name, value in zip(schema, row, strict=True)
        )


class Google(Platform):
    """Data Manager API: whole requests or nothing; violations name members by place."""

    def __init__(self) -> None:
        super().__init__()
        self.people: dict[str, set[str]] = {"8181000111": set()}

    def answer(self, call: Call) -> tuple[int, Any]:
        if call.path == "/token":
            form = parse_qs(call.body)
            assert form["grant_type"] == ["refresh_token"]
            assert form["refresh_token"] == ["refresh"]
            return 200, {"access_token": "google-token", "expires_in": 3599}
        if call.headers.get("authorization") != "Bearer google-token":
            return 401, {"error": {"status": "UNAUTHENTICATED"}}
        if call.name == "POST /v1/accountTypes/GOOGLE_ADS/accounts/1234567890/userLists":
            assert call.headers["login-account"] == "accountTypes/GOOGLE_ADS/accounts/9998887777"
            assert call.body["ingestedUserListInfo"]["uploadKeyTypes"] == ["CONTACT_ID"]
            self.people["8181000222"] = set()
            return 200, {"name": "accountTypes/GOOGLE_ADS/accounts/1234567890/userLists/8181000222", "id": "8181000222"}
        wanted = self.people.get(call.body["destinations"][0]["productDestinationId"])
        if wanted is None:
            return self.invalid("destinations[0].product_destination_id", "INVALID_USER_LIST_ID")
        for place, member in enumerate(call.body["audienceMembers"]):
            for one in member["userData"]["userIdentifiers"]:
                text = one.get("emailAddress") or one.get("phoneNumber") or one["address"]["givenName"]
                if not HEX.fullmatch(text) or text == hashlib.sha256(b"bad@example.com").hexdigest():
                    return self.invalid(
                        f"audience_members.audience_members[{place}].user_data", "INVALID_SHA256_FORMAT"
                    )
        keys = {
            json.dumps(one) for member in call.body["audienceMembers"] for one in member["userData"]["userIdentifiers"]
        }
        if call.name == "POST /v1/audienceMembers:ingest":
            assert call.body["encoding"] == "HEX"
            assert call.body["termsOfService"] == {"customerMatchTermsOfServiceStatus": "ACCEPTED"}
            wanted.update(keys)
        else:
            assert call.name == "POST /v1/audienceMembers:remove"
            wanted.difference_update(keys)
        return 200, {"requestId": "r-1"}

    @staticmethod
    def invalid(field: str, reason: str) -> tuple[int, Any]:
        violations = [{"field": field, "description": "is not right", "reason": reason}]
        details = [{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations}]
        return 400, {"error": {"code": 400, "status": "INVALID_ARGUMENT", "details": details}}


class HubSpot(Platform):
    """CRM API: contacts by email, static lists by record ids; batches answer 207 where some inputs are refused."""

    def __init__(self) -> None:
        super().__init__()
        self.contacts: dict[str, str] = {}
        self.lists: dict[str, set[str]] = {"4711": set()}
        self.names: dict[str, str] = {}

    def answer(self, call: Call) -> tuple[int, Any]:
        if call.headers.get("authorization") != "Bearer hub-token":
            return 401, {"status": "error", "category": "INVALID_AUTHENTICATION"}
        if call.path.startswith("/crm/objects/2026-03/contacts/batch/"):
            return self.batch(call)
        if call.path.startswith("/crm/lists/2026-03/object-type-id/0-1/name/"):
            found = self.names.get(call.path.rpartition("/")[2])
            return (200, {"list": {"listId": found}}) if found else (404, {"status": "error"})
        if call.name == "POST /crm/lists/2026-03":
            assert (call.body["objectTypeId"], call.body["processingType"]) == ("0-1", "MANUAL")
            self.names[call.body["name"]], self.lists["4712"] = "4712", set()
            return 200, {"list": {"listId": "4712"}}
        _, _, _, _, listed, _, verb = call.path.split("/")
        if not isinstance(call.body, list) or not call.body:
            return 400, {"status": "error", "category": "VALIDATION_ERROR"}
        if verb == "add":
            self.lists[listed].update(call.body)
            return 200, {"recordsIdsAdded": call.body, "recordIdsMissing": [], "recordIdsRemoved": []}
        self.lists[listed].difference_update(call.body)
        return 200, {"recordsIdsAdded": [], "recordIdsMissing": [], "recordIdsRemoved": call.body}

    def batch(self, call: Call) -> tuple[int, Any]:
        inputs, results, errors = call.body["inputs"], [], []
        assert len(inputs) <= 100
        for one in inputs:
            email = one["id"]
            if call.path.endswith("upsert"):
                assert one["idProperty"] == "email"
                if email.endswith("@blocked.example.com"):
                    context = {"objectWriteTraceId": [one["objectWriteTraceId"]]}
                    errors.append({"category": "VALIDATION_ERROR", "message": f"{email} is bad", "context": context})
                    continue
                self.contacts.setdefault(email, str(100 + len(self.contacts)))
            if email in self.contacts:
                results.append({"id": self.contacts[email], "properties": {"email": email}})
            else:
                errors.append({"category": "OBJECT_NOT_FOUND", "context": {"ids": [email]}})
        more = {"errors": errors, "numErrors": len(errors)} if errors else {}
        return (207 if errors else 200), {"status": "COMPLETE", "results": results, **more}


class Salesforce(Platform):
    """REST API: campaign members by contact or lead; collections answer in order, one result a record."""

    CAMPAIGN = "701RM000000k3TeYAI"

    def __init__(self) -> None:
        super().__init__()
        self.members: dict[tuple[str, str], str] = {}
        self.locked: set[str] = set()

    def answer(self, call: Call) -> tuple[int, Any]:
        if call.name == "POST /services/oauth2/token":
            assert parse_qs(call.body)["grant_type"] == ["client_credentials"]
            return 200, {"access_token": "sf-token", "token_type": "Bearer"}
        if call.headers.get("authorization") != "Bearer sf-token":
            return 401, [{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}]
        path = call.path.removeprefix("/services/data/v67.0")
        if (call.method, path) == ("POST", "/sobjects/Campaign"):
            return 201, {"id": "701RM000000k3TzYAI", "success": True, "errors": []}
        if (call.method, path) == ("POST", "/composite/sobjects"):
            assert call.body["allOrNone"] is False
            assert len(call.body["records"]) <= 200
            return 200, [self.created(one) for one in call.body["records"]]
        if (call.method, path) == ("POST", "/composite"):
            assert len(call.body["compositeRequest"]) <= 5
            return 200, {"compositeResponse": [self.queried(one) for one in call.body["compositeRequest"]]}
        assert (call.method, path) == ("DELETE", "/composite/sobjects"), call.name
        return 200, [self.deleted(one) for one in call.query["ids"].split(",")]

    def created(self, record: dict[str, Any]) -> dict[str, Any]:
        person = record.get("ContactId") or record["LeadId"]
        key = (record["CampaignId"], person)
        if person in self.locked:
            return self.failed("UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access")
        if person.startswith("003XX"):
            return self.failed("INVALID_CROSS_REFERENCE_KEY", f"invalid cross reference id {person}")
        if key in self.members:
            return self.failed("DUPLICATE_VALUE", "Already a campaign member.")
        self.members[key] = f"00v{len(self.members):015}"
        return {"id": self.members[key], "success": True, "errors": []}

    def queried(self, request: dict[str, Any]) -> dict[str, Any]:
        found = re.fullmatch(
            r"/services/data/v67\.0/query\?q=SELECT\+Id\+FROM\+CampaignMember\+WHERE\+CampaignId='(\w+)'"
            r"\+AND\+(?:ContactId|LeadId)='(\w+)'",
            request["url"],
        )
        assert found is not None, request["url"]
        member = self.members.get((found[1], found[2]))
        records = [{"Id": member}] if member else []
        return {"httpStatusCode": 200, "referenceId": request["referenceId"], "body": {"records": records}}

    def deleted(self, member: str) -> dict[str, Any]:
        self.members = {key: one for key, one in self.members.items() if one != member}
        return {"id": member, "success": True, "errors": []}

    @staticmethod
    def failed(code: str, message: str) -> dict[str, Any]:
        return {"success": False, "errors": [{"statusCode": code, "message": message, "fields": []}]}


class Braze(Platform):
    """REST API: attributes of profiles; wrong objects are listed by place, right ones are taken."""

    def __init__(self) -> None:
        super().__init__()
        self.audiences: dict[str, set[str]] = {}

    def answer(self, call: Call) -> tuple[int, Any]:
        if call.headers.get("authorization") != "Bearer braze-key":
            return 401, {"message": "Invalid API key"}
        assert call.name == "POST /users/track"
        objects, errors = call.body["attributes"], []
        assert len(objects) <= 75
        for place, one in enumerate(objects):
            names = [one[name] for name in ("external_id", "braze_id", "email", "phone") if name in one]
            assert len(names) == 1
            assert one["_update_existing_only"] is True
            if len(names[0]) > 40:
                errors.append(
                    {"type": f"'external_id' {names[0]} is too long", "input_array": "attributes", "index": place}
                )
                continue
            change = one["audiences"]
            held = self.audiences.setdefault(names[0], set())
            held |= set(change.get("add", []))
            held -= set(change.get("remove", []))
        if len(errors) == len(objects):
            return 400, {"message": "Valid data must be provided in the 'attributes' field.", "errors": errors}
        more = {"errors": errors} if errors else {}
        return 201, {"message": "success", "attributes_processed": len(objects) - len(errors), **more}


class Mailchimp(Platform):
    """Marketing API: a static segment of an audience; addresses that are no contacts are listed."""

    def __init__(self) -> None:
        super().__init__()
        self.contacts = {"ana.reyes@example.com", "bo@example.org", "ed@example.com"}
        self.segments: dict[str, set[str]] = {"49381": set()}

    def answer(self, call: Call) -> tuple[int, Any]:
        if call.headers.get("authorization") != "Basic " + base64.b64encode(b"gateway:chimp-key-us6").decode():
            return 401, {"title": "API Key Invalid", "status": 401}
        if call.name == "POST /3.0/lists/a1b2c3d4e5/segments":
            assert call.body["static_segment"] == []
            self.segments["49382"] = set()
            return 200, {"id": 49382, "name": call.body["name"], "type": "static"}
        found = re.fullmatch(r"/3\.0/lists/a1b2c3d4e5/segments/([0-9]+)", call.path)
        if found is None or found[1] not in self.segments:
            return 404, {"title": "Resource Not Found", "status": 404}
        adds, removes = call.body.get("members_to_add", []), call.body.get("members_to_remove", [])
        assert len(adds) <= 500
        unknown = [one for one in adds if one not in self.contacts]
        self.segments[found[1]] |= set(adds) - set(unknown)
        self.segments[found[1]] -= set(removes)
        errors = [{"email_addresses": unknown, "error": "not subscribed"}] if unknown else []
        return 200, {"members_added": [], "members_removed": [], "errors": errors, "error_count": len(unknown)}


class Receiver(Platform):
    """Any receiver of Standard Webhooks, and the webhook audience behind it: no call without a right signature."""

    def __init__(self) -> None:
        super().__init__()
        self.lists: dict[str, set[str]] = {}

    def answer(self, call: Call) -> tuple[int, Any]:
        message_id, sent_at = call.headers["webhook-id"], call.headers["webhook-timestamp"]
        key = base64.b64decode(WEBHOOK_SECRET.removeprefix("whsec_"))
        digest = hmac.new(key, f"{message_id}.{sent_at}.".encode() + call.raw, "sha256").digest()
        if call.headers["webhook-signature"] != "v1," + base64.b64encode(digest).decode():
            return 401, {"error": "signature"}
        if call.path == "/hook":
            return 204, None
        if call.method == "GET":
            return (200, {"id": "vip"}) if "vip" in self.lists else (404, None)
        if call.name == "POST /audiences":
            self.lists["vip"] = set()
            return 201, {"id": "vip"}
        _, _, listed, _, verb = call.path.split("/")
        errors = []
        for one in call.body["members"]:
            person = one.get("user_id") or one["anonymous_id"]
            if person.startswith("bad"):
                errors.append({"index": one["index"], "code": "UNKNOWN", "message": f"{person} is unknown"})
            elif verb == "add":
                self.lists.setdefault(listed, set()).add(person)
            else:
                self.lists[listed].discard(person)
        return 200, {"errors": errors}
