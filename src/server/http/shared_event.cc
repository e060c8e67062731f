#include "server/http/shared_event.h"

#include <array>
#include <memory>
#include <utility>

namespace keles::server {
namespace {

using Type = registry::WatchItem::Type;

// Larger ones are sent as they are, in parts that are shared already.
constexpr size_t kMostJoined = 16 * 1024;

// What was said last of an object. Both are held weakly: what nobody is to be sent any more costs
// nothing, and no other object can be taken for this one as long as its address is remembered.
struct Said {
  std::weak_ptr<const Object> object;
  std::weak_ptr<const std::string> text;
  Type type = Type::kError;
  Format format = Format::kJson;
  Shape shape = Shape::kWhole;
  bool beta = false;

  bool is_of(const registry::WatchItem& item, const Accepted& a) const {
    return type == item.type && format == a.format && shape == a.shape && beta == a.beta &&
           !object.owner_before(item.object) && !item.object.owner_before(object);
  }
};

Said& place_of(const registry::WatchItem& item, const Accepted& a) {
  constexpr size_t kPlaces = 256;  // a batch of a watch
  static thread_local std::array<Said, kPlaces> said;
  const auto address = reinterpret_cast<uintptr_t>(item.object.get());
  const uint64_t mixed = (address >> 4 ^ uint64_t{a.is_partial()} << 40 ^
                          uint64_t{a.format == Format::kProtobuf} << 41) *
                         0x9e3779b97f4a7c15;
  return said[mixed >> 56];
}

// Tables say how old an object is, and to whom they say it first.
bool is_same_for_all(const registry::WatchItem& item, const Rendering& r) {
  const bool change =
      item.type == Type::kAdded || item.type == Type::kModified || item.type == Type::kDeleted;
  return change && item.object && !r.pretty && r.accepted.format != Format::kYaml &&
         (r.accepted.shape == Shape::kWhole || r.accepted.is_partial());
}

size_t size_of(const Parts& parts) {
  size_t n = 0;
  for (const Part& p : parts) n += p->size();
  return n;
}

Part joined(Parts parts, size_t size) {
  if (parts.size() == 1) return std::move(parts[0]);
  std::string text;
  text.reserve(size);
  for (const Part& p : parts) text += *p;
  return text_part(std::move(text));
}

}  // namespace

size_t append_event(const KindDesc& kind, const registry::WatchItem& item, const Rendering& r,
                    bool first, Parts* out) {
  const bool shared = is_same_for_all(item, r);
  Said* said = shared ? &place_of(item, r.accepted) : nullptr;
  if (said && said->is_of(item, r.accepted)) {
    if (Part text = said->text.lock()) {
      const size_t size = text->size();
      out->push_back(std::move(text));
      return size;
    }
  }
  Parts parts = render_event(kind, item, r, first);
  const size_t size = size_of(parts);
  if (!shared || size > kMostJoined) {
    for (Part& p : parts) out->push_back(std::move(p));
    return size;
  }
  Part text = joined(std::move(parts), size);
  *said = {item.object, text, item.type, r.accepted.format, r.accepted.shape, r.accepted.beta};
  out->push_back(std::move(text));
  return size;
}

}  // namespace keles::server
