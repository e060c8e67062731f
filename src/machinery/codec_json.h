// JSON in and out of trees. Reading is bounded (size by the caller, depth here) and keeps members
// in document order; writing follows Go's encoding/json byte for byte, so that clients which
// compare see what upstream sends. Pure functions, any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "machinery/schema.h"
#include "machinery/value.h"

namespace keles {

struct JsonOptions {
  // Where members that an object holds twice are reported, as paths ("spec.containers[0].name");
  // the last one counts. Null: they are not looked for.
  std::vector<std::string>* duplicates = nullptr;
};

inline constexpr size_t kMaxJsonDepth = 500;

// Errors are Go's texts ("invalid character 'x' looking for beginning of value"), as BadRequest.
Result<Document> parse_json(std::string_view text, JsonOptions options = {});
Result<Value> parse_json(Arena& arena, std::string_view text, JsonOptions options = {});

// Any value, compact, members in the order that they have, or sorted as Go sorts a map.
void write_json(std::string& out, const Value& v, bool sort_members = false);
std::string to_json(const Value& v);

// A value of the type: members in the type's order; empty ones left out or written as Go's tags say
// (`containers: null`, `status: {}`); members that the type does not know are not written.
void write_json(std::string& out, const TypeDesc& type, const Value& v);
// An object: as above, with its kind and apiVersion first, whether or not the tree has them.
void write_json(std::string& out, const KindDesc& kind, const Value& v);

// The text quoted and escaped as Go does (<, > and & too when `html`).
void write_json_string(std::string& out, std::string_view s, bool html = true);
void write_json_double(std::string& out, double d);

// Compact JSON laid out as Go's json.Indent does, `indent` spaces a level, no final newline.
std::string indent_json(std::string_view compact, int indent = 2);

// Go's error text for a text that is not JSON. For error paths; "" when it is JSON after all.
std::string json_syntax_error(std::string_view text);

}  // namespace keles
