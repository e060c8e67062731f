// A value as Go's text/template sees it: of a tree, or made while a template runs. Trees are read
// as encoding/json leaves them in Go: map[string]interface{}, []interface{}, int64, float64.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "machinery/value.h"

namespace keles::kubectl {

struct GoValue {
  enum class Kind : uint8_t {
    kInvalid,  // no value at all: what a missing key is
    kNil,      // an interface{} that holds nothing
    kBool,
    kInt,    // of constants and indexes
    kInt64,  // of data
    kByte,   // of a string
    kFloat,
    kString,
    kList,
    kMap
  };

  static GoValue of(const Value& v, bool boxed);
  static GoValue of(bool b);
  static GoValue of(int i);
  static GoValue integer(int64_t i, Kind kind = Kind::kInt);
  static GoValue of(double d);
  static GoValue text(std::string s);
  static GoValue nil();

  bool valid() const { return kind != Kind::kInvalid; }
  // Neither a value nor anything in it: what interface{} holds when it is nil.
  bool nothing() const { return kind == Kind::kInvalid || kind == Kind::kNil; }
  bool integral() const {
    return kind == Kind::kInt || kind == Kind::kInt64 || kind == Kind::kByte;
  }
  // What is in the interface.
  GoValue inner() const;
  // "map[string]interface {}"
  std::string_view type() const;
  // As it is held: "interface {}" for what stands in a map or a list.
  std::string_view static_type() const { return boxed ? "interface {}" : type(); }
  size_t length() const;
  GoValue element(size_t i) const;  // of a list

  Kind kind = Kind::kInvalid;
  bool boxed = false;  // held as interface{}
  bool b = false;
  int64_t i = 0;
  double d = 0;
  std::string_view s;                        // of kString, into a tree or into `owner`
  std::shared_ptr<const std::string> owner;  // of a text that was made
  const Value* tree = nullptr;               // of kList and kMap
  size_t first = 0, count = 0, room = 0;     // of kList: the part of the tree; Go's capacity
};

}  // namespace keles::kubectl
