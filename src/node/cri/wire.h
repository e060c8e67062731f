// The protobuf wire format (https://protobuf.dev/programming-guides/encoding/), just enough for the
// container runtime's messages: a writer that appends fields and a reader that walks them.
//
// Written by hand rather than through the descriptor tables: the runtime's messages are on the hot
// path of every pod, are read into plain structs, and their enums are numbers here.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace keles::node::cri {

// Appends fields; zero values are left out, as proto3 does.
class WireWriter {
 public:
  void number(uint32_t field, uint64_t v) {
    if (v == 0) return;
    tag(field, 0);
    varint(v);
  }
  void boolean(uint32_t field, bool v) { number(field, v ? 1 : 0); }
  void text(uint32_t field, std::string_view s) {
    if (!s.empty()) element(field, s);
  }
  // As text, but an empty value is written too: list elements and sub-messages.
  void element(uint32_t field, std::string_view s) {
    tag(field, 2);
    varint(s.size());
    out_.append(s);
  }
  void message(uint32_t field, const WireWriter& m) { element(field, m.out_); }
  template <class List>
  void texts(uint32_t field, const List& list) {
    for (const auto& s : list) element(field, s);
  }
  void text_map(uint32_t field, const std::map<std::string, std::string>& m) {
    for (const auto& [k, v] : m) {
      WireWriter entry;
      entry.text(1, k);
      entry.text(2, v);
      message(field, entry);
    }
  }
  std::string take() { return std::move(out_); }

 private:
  void tag(uint32_t field, uint32_t type) { varint(field << 3 | type); }
  void varint(uint64_t v) {
    while (v >= 0x80) {
      out_.push_back(static_cast<char>(v | 0x80));
      v >>= 7;
    }
    out_.push_back(static_cast<char>(v));
  }
  std::string out_;
};

// Walks the fields of one message: `while (r.next()) switch (r.field()) ...`. Malformed input ends
// the walk and clears ok(). Views point into the input.
class WireReader {
 public:
  explicit WireReader(std::string_view in) : in_(in) {}
  bool next();
  uint32_t field() const { return field_; }
  uint64_t number() const { return number_; }
  int64_t signed_number() const { return static_cast<int64_t>(number_); }
  bool boolean() const { return number_ != 0; }
  std::string_view bytes() const { return bytes_; }
  std::string text() const { return std::string(bytes_); }
  // Adds a map<string, string> entry to `m`.
  void entry(std::map<std::string, std::string>& m) const;
  // Field `n` of this sub-message as a number: for the wrappers Int64Value, UInt64Value.
  uint64_t wrapped() const;
  bool ok() const { return ok_; }

 private:
  bool varint(uint64_t& v);
  std::string_view in_;
  uint32_t field_ = 0;
  uint64_t number_ = 0;
  std::string_view bytes_;
  bool ok_ = true;
};

}  // namespace keles::node::cri
