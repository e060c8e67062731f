// From a tree as it was parsed to an object of its kind: types are checked, numbers, quantities,
// times and base64 brought into their one form, nulls and unknown fields dropped. Built-in and
// custom kinds take this one path.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "machinery/schema.h"
#include "machinery/value.h"

namespace keles {

// How unknown and duplicate fields are taken (the request's `fieldValidation`).
enum class FieldValidation : uint8_t { kIgnore, kWarn, kStrict };

// Checks and normalises doc.root in place. Every field that the type does not know is removed and,
// when `unknown` is given, named there: unknown field "spec.foo". A value of a wrong type is an
// error in upstream's words: json: cannot unmarshal string into Go struct field
// PodSpec.spec.containers of type []v1.Container.
Status normalize(const TypeDesc& type, Document& doc, std::vector<std::string>* unknown = nullptr);

// As above for a request's body of the kind, with upstream's BadRequest around it: Pod in version
// "v1" cannot be handled as a Pod: ... `duplicates` are the paths that parse_json found. Under
// kStrict they and unknown fields are an error (strict decoding error: unknown field "spec.foo");
// under kWarn they are appended to `warnings`. They are named in the order in which they stand in
// `json`, the body's text; without it (YAML) duplicates come first. A hundred at most.
Status decode_object(const KindDesc& kind, Document& doc, FieldValidation validation,
                     const std::vector<std::string>& duplicates = {},
                     std::vector<std::string>* warnings = nullptr, std::string_view json = {});

// BadRequest for a body of which not even the kind can be read; `why` says what went wrong. The
// message ends with the body's first bytes.
Status unrecognized_body(const KindDesc& kind, std::string_view body, std::string_view why);

// Whether the `kind` and `apiVersion` of a parsed body, when it has them, are those of the kind;
// else upstream's BadRequest (an unknown kind, one that does not convert, another version). A null
// root becomes an empty map.
Status check_body_kind(const KindDesc& kind, std::string_view body, Document& doc);

// A body in JSON or, with the envelope, protobuf, to an object of the kind. `kind` and `apiVersion`
// are set; those that the body has must be the kind's own.
Result<Document> decode_body(const KindDesc& kind, std::string_view body,
                             FieldValidation validation = FieldValidation::kIgnore,
                             std::vector<std::string>* warnings = nullptr);

// --- defaults ---

// Fills what is absent from the description's defaults and hooks. Idempotent.
void apply_defaults(const KindDesc& kind, Document& doc);
void apply_defaults(const TypeDesc& type, Arena& arena, Value& v);

}  // namespace keles
