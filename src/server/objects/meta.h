// Small readers and writers of object metadata on plain trees, for code that serves every kind.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "machinery/object.h"
#include "machinery/value.h"

namespace keles::registry {

inline const Value& metadata(const Value& root) { return root["metadata"]; }
inline std::string_view meta(const Value& root, std::string_view key) {
  return root["metadata"][key].as_string();
}

// metadata as a map, made when absent.
Value& edit_metadata(Document& d);
// The member as a map, made when absent or null.
Value& edit_map(Document& d, Value& in, std::string_view key);
// Strings are copied into the document.
void set_text(Document& d, Value& map, std::string_view key, std::string_view text);
void set_meta(Document& d, std::string_view key, std::string_view text);
void set_meta(Document& d, std::string_view key, int64_t n);
void clear_meta(Document& d, std::string_view key);
// Replaces `key` in `map` by a deep copy of `from`, or removes it when `from` is null.
void copy_member(Document& d, Value& map, std::string_view key, const Value* from);

std::vector<std::string> finalizers(const Value& root);
void set_finalizers(Document& d, const std::vector<std::string>& names);
bool deleting(const Value& root);
// The status condition of that type, made when absent.
Value& edit_condition(Document& d, std::string_view type);
// Sets it; its transition time follows its status. False when it says so already.
bool set_condition(Document& d, std::string_view type, std::string_view status,
                   std::string_view reason, std::string_view message, WallTime now);
// The message of an APIService's condition Available where this server serves it itself.
inline constexpr std::string_view kLocalApiService = "Local APIServices are always available";
// RFC 3339 seconds, as metav1.Time.
std::string time_text(WallTime t);

// "pods" / "deployments.apps" in messages comes from Status's own functions; these fill them in.
Status not_found(const KindDesc& kind, std::string_view name);
Status conflict(const KindDesc& kind, std::string_view name, std::string_view why);
Status forbidden(const KindDesc& kind, std::string_view name, std::string_view why);

// Decimal text to int64; nullopt for anything else.
std::optional<int64_t> to_int(std::string_view text);

}  // namespace keles::registry
