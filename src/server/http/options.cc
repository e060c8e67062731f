#include "server/http/options.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>

#include "base/encoding.h"

namespace keles::server {
namespace {

constexpr size_t kManagerBytes = 128;

// The character at `at`, which moves behind it. A byte that begins none stands for U+FFFD.
uint32_t next_rune(std::string_view s, size_t& at) {
  const auto byte = [&](size_t i) -> uint32_t { return static_cast<unsigned char>(s[i]); };
  const uint32_t lead = byte(at);
  const size_t n = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 0;
  if (n == 1 || n == 0 || at + n > s.size()) {
    ++at;
    return n == 1 ? lead : 0xfffd;
  }
  uint32_t rune = lead & (0xffU >> (n + 1));
  for (size_t k = 1; k < n; ++k) {
    if ((byte(at + k) & 0xc0) != 0x80) {
      ++at;
      return 0xfffd;
    }
    rune = rune << 6 | (byte(at + k) & 0x3f);
  }
  at += n;
  return rune;
}

// Whether the character has no glyph: what Go would escape, but for quotes and broken bytes.
bool is_hidden(std::string_view character) {
  const std::string shown = quoted(character);
  const bool broken = static_cast<unsigned char>(character[0]) >= 0x80 && shown[2] == 'x';
  return shown[1] == '\\' && shown[2] != '\\' && shown[2] != '"' && !broken;
}

std::string unicode_name(uint32_t rune) {
  std::array<char, 16> text{};
  std::snprintf(text.data(), text.size(), "U+%04X", static_cast<unsigned>(rune));
  return text.data();
}

// What Go's decoder calls a value that it cannot put where it belongs.
std::string_view go_word(const Value& v) {
  if (v.is_list()) return "array";
  if (v.is_map()) return "object";
  if (v.is_string()) return "string";
  return v.is_bool() ? "bool" : "number";
}

Status cannot_unmarshal(const Value& v, std::string_view into) {
  return Status::bad_request("json: cannot unmarshal " + std::string(go_word(v)) + " into Go " +
                             std::string(into));
}

constexpr std::array<std::string_view, 4> kOperationFields{"op", "path", "from", "value"};

Status check_operation(const Value& op) {
  if (op.is_null()) return {};
  if (!op.is_map()) return cannot_unmarshal(op, "value of type handlers.jsonPatchOp");
  for (const Member& m : op.members()) {
    const bool text = m.key() == "op" || m.key() == "path" || m.key() == "from";
    if (!text || m.value.is_string() || m.value.is_null()) continue;
    return cannot_unmarshal(m.value,
                            "struct field jsonPatchOp." + std::string(m.key()) + " of type string");
  }
  return {};
}

}  // namespace

void check_field_manager(std::vector<StatusCause>& causes, std::string_view name) {
  if (name.size() > kManagerBytes) {
    causes.push_back({"FieldValueTooLong",
                      "Too long: may not be more than " + std::to_string(kManagerBytes) + " bytes",
                      "fieldManager"});
  }
  for (size_t at = 0; at < name.size();) {
    const size_t position = at;
    const uint32_t rune = next_rune(name, at);
    if (!is_hidden(name.substr(position, at - position))) continue;
    causes.push_back({"FieldValueInvalid",
                      "Invalid value: " + quoted(name) + ": invalid character " +
                          unicode_name(rune) + " (at position " + std::to_string(position) + ")",
                      "fieldManager"});
  }
}

Status check_patch(PatchType type, const Value& patch) {
  if (patch.is_null()) return {};
  if (type != PatchType::kJson) {
    return patch.is_map() ? Status()
                          : cannot_unmarshal(patch, "value of type map[string]interface {}");
  }
  if (!patch.is_list()) return cannot_unmarshal(patch, "value of type []handlers.jsonPatchOp");
  for (const Value& op : patch.items()) TRY(check_operation(op));
  return {};
}

void add_unknown_of_operations(const Value& patch, std::vector<std::string>& problems) {
  size_t i = 0;
  for (const Value& op : patch.items()) {
    for (const Member& m : op.members()) {
      if (std::find(kOperationFields.begin(), kOperationFields.end(), m.key()) !=
          kOperationFields.end()) {
        continue;
      }
      problems.push_back("json patch unknown field \"[" + std::to_string(i) + "]." +
                         std::string(m.key()) + '"');
    }
    ++i;
  }
}

}  // namespace keles::server
