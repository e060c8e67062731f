// Environment variables of containers: what `set env` is told, what a container has, and what its
// references stand for. No cluster here.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "kubectl/command.h"
#include "machinery/value.h"

namespace keles::kubectl {

// One variable: a text, or (when `key` is set) the key of a Secret or ConfigMap.
struct EnvVar {
  std::string name, value;
  std::string from_kind, from_name, key;  // "Secret" or "ConfigMap"
};

struct EnvChanges {
  std::vector<EnvVar> set;
  std::vector<std::string> removed;
  bool from_stdin = false;
};

// Resources come first, then NAME=VALUE, NAME- and "-"; false when they are mixed.
bool split_environment(const Args& args, Args* resources, Args* changes);
// `input` is read for "-".
Result<EnvChanges> parse_environment(const Args& words, std::istream& input);
// "log.level" -> "LOG_LEVEL"
std::string env_name_of(std::string_view key);

// The list after the changes: what is set takes the place of what has its name; removal wins.
Value changed_environment(Document& d, const Value& now, const EnvChanges& changes);
// That some variable has another value already, when that is not to be overwritten.
Status check_no_overwrites(const Value& now, const EnvChanges& changes);

// "secret s, key k", "field path metadata.name", ...
std::string reference_text(const Value& value_from);
// What fieldRef and resourceFieldRef stand for, by the object and its container.
Result<std::string> field_value(const Value& object, std::string_view path);
Result<std::string> resource_value(const Value& reference, const Value& container);

}  // namespace keles::kubectl
