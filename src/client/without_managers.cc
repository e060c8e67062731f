#include "client/without_managers.h"

#include <functional>

#include "machinery/codec_protobuf.h"

namespace keles {
namespace {

constexpr uint32_t kMetadata = 1;        // of every object
constexpr uint32_t kManagedFields = 17;  // of ObjectMeta

// Calls `each(number, type, whole, inside)` for each field of a message; false when it is none.
bool fields_of(std::string_view message,
               const std::function<void(uint32_t, int, std::string_view, std::string_view)>& each) {
  WireReader r(message);
  while (!r.done()) {
    const size_t from = r.position();
    const uint32_t number = r.tag();
    if (!r.ok()) return false;
    std::string_view inside;
    if (r.type() == 2) {
      inside = r.bytes();
    } else {
      r.skip();
    }
    if (!r.ok()) return false;
    each(number, r.type(), message.substr(from, r.position() - from), inside);
  }
  return true;
}

}  // namespace

std::string without_managers(std::string_view object) {
  std::string out;
  out.reserve(object.size());
  bool whole = true;
  const bool message = fields_of(
      object, [&](uint32_t number, int type, std::string_view field, std::string_view inside) {
        if (number != kMetadata || type != 2) {
          out += field;
          return;
        }
        std::string rest;
        whole &= fields_of(inside, [&](uint32_t n, int, std::string_view f, std::string_view) {
          if (n != kManagedFields) rest += f;
        });
        append_bytes_field(out, kMetadata, rest);
      });
  return message && whole ? out : std::string(object);
}

}  // namespace keles
