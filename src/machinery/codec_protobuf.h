// Protobuf in and out of trees, by descriptors: the API's own messages (proto2 as gogo writes them:
// fields by number, map keys sorted, scalars that are not pointers always written), CRI's and
// etcd's (proto3), and the envelope of `application/vnd.kubernetes.protobuf`: "k8s\0" and a
// runtime.Unknown around the object. Output is deterministic. Unknown fields are skipped on read.
// Pure functions, any thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "machinery/schema.h"
#include "machinery/value.h"

namespace keles {

inline constexpr std::string_view kProtobufMagic{"k8s\0", 4};
inline constexpr int kMaxProtobufDepth = 200;

// The bytes of a value of the type, appended to `out`.
void encode_protobuf(const TypeDesc& type, const Value& v, std::string& out);
std::string encode_protobuf(const TypeDesc& type, const Value& v);

// A tree of the message. With an owner, its texts are views into `bytes`, which the owner holds;
// else they are copied. Errors are BadRequest.
Result<Document> decode_protobuf(const TypeDesc& type, std::string_view bytes,
                                 std::shared_ptr<const std::string> owner = nullptr);

// Whether decode_protobuf would succeed, at a fraction of its cost: nothing is made.
bool is_protobuf_of(const TypeDesc& type, std::string_view bytes);

// The envelope around an already encoded object, and what is in one.
std::string wrap_protobuf(std::string_view api_version, std::string_view kind,
                          std::string_view raw);
struct Envelope {
  std::string_view api_version, kind, raw, content_encoding, content_type;
};
Result<Envelope> open_protobuf(std::string_view bytes);

// An object in its envelope.
std::string encode_object(const KindDesc& kind, const Value& v);
Result<Document> decode_object_protobuf(const KindDesc& kind, std::string_view bytes,
                                        std::shared_ptr<const std::string> owner = nullptr);

// A reader of one message's fields, for code that looks at a few bytes without a tree.
class WireReader {
 public:
  explicit WireReader(std::string_view s) : s_(s) {}
  bool done() const { return at_ >= s_.size(); }
  bool ok() const { return ok_; }
  size_t position() const { return at_; }
  // The next field's number (0 at an error); then one of the following, by its type.
  uint32_t tag();
  int type() const { return type_; }  // 0 varint, 1 fixed64, 2 bytes, 5 fixed32
  uint64_t varint();
  uint64_t fixed64();
  uint32_t fixed32();
  std::string_view bytes();
  void skip();

 private:
  std::string_view s_;
  size_t at_ = 0;
  int type_ = 0;
  bool ok_ = true;
};
void append_varint(std::string& out, uint64_t v);
void append_bytes_field(std::string& out, uint32_t number, std::string_view bytes);

}  // namespace keles
