"""What an import looks like in every format, for the OpenAPI page."""

from typing import Any

from recipes.model import Json

_YAML = """\
people:
  - {id: alice, name: Alice Moreau, email: alice@example.org, manager: bob, department: Sales,
     time_zone: Europe/Paris, joined: 2026-03-01}
  - {id: bob, name: Bob Tanaka, limits: {EUR: 10000, USD: 12000}}
  - {id: carol, name: Carol Diaz, left: true}
roles:
  hr-leave-admin: {description: Leave and absence, members: [bob]}
"""
_JSON: Json = {
    "people": [
        {"id": "alice", "name": "Alice Moreau", "manager": "bob", "department": "Sales"},
        {"id": "bob", "name": "Bob Tanaka", "limits": {"EUR": "2500.50"}, "left": "2026-12-31"},
    ],
    "roles": {"hr-leave-admin": ["bob"]},
}
_CSV = """\
id,name,email,manager,department,time_zone,joined,left,roles,limits,title
alice,Alice Moreau,alice@example.org,bob,Sales,Europe/Paris,2026-03-01,,,,Coordinator
bob,Bob Tanaka,bob@example.org,,Sales,,,,hr-leave-admin; finance,EUR 10000; USD 12000,Team lead
"""
_ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
_SCIM: Json = {
    "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
    "totalResults": 2,
    "Resources": [
        {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", _ENTERPRISE],
            "id": "2819c223",
            "userName": "alice",
            "displayName": "Alice Moreau",
            "emails": [{"value": "alice@example.org", "primary": True}],
            "active": True,
            "timezone": "Europe/Paris",
            _ENTERPRISE: {"department": "Sales", "manager": {"value": "bob"}},
        },
        {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
            "displayName": "hr-leave-admin",
            "members": [{"value": "2819c223"}],
        },
    ],
}
_TEXT = {"type": "string"}
_OBJECT = {"type": "object"}

IMPORT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "People and roles; the media type says in which format.",
        "content": {
            "application/yaml": {"schema": _TEXT, "example": _YAML},
            "application/json": {"schema": _OBJECT, "example": _JSON},
            "text/csv": {"schema": _TEXT, "example": _CSV},
            "application/scim+json": {"schema": _OBJECT, "example": _SCIM},
        },
    }
}
