#include "machinery/object.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>
#include <mutex>
#include <optional>
#include <utility>

#include "base/log.h"
#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"
#include "machinery/decode.h"
#include "machinery/older_versions.h"
#include "machinery/unbound_kind.h"

namespace keles {

namespace {

// Forms are read and set under one of a few locks, chosen by address: an Object stays small. Who
// holds the budget's lock may take one of them; never the other way round.
std::mutex& lock_of(const void* p) {
  static std::array<std::mutex, 64> locks;
  return locks[reinterpret_cast<uintptr_t>(p) / 64 % locks.size()];
}

// A custom resource has no protobuf form: it is stored as JSON.
bool is_json_only(const KindDesc& kind) { return kind.owner || kind.type->wire.empty(); }

// Where a message's field of bytes lies: [begin, end) with its tag, [content, end) without.
struct Place {
  size_t begin = 0, content = 0, end = 0;
};

// The first field `number` of the message, or the place where it belongs (empty).
std::optional<Place> locate(std::string_view message, uint32_t number) {
  WireReader r(message);
  while (!r.done()) {
    const size_t begin = r.position();
    const uint32_t n = r.tag();
    if (!r.ok()) return std::nullopt;
    if (n > number) return Place{begin, begin, begin};
    if (n == number && r.type() == 2) {
      std::string_view bytes = r.bytes();
      if (!r.ok()) return std::nullopt;
      return Place{begin, r.position() - bytes.size(), r.position()};
    }
    r.skip();
    if (!r.ok()) return std::nullopt;
  }
  return Place{message.size(), message.size(), message.size()};
}

std::string replace_field(std::string_view message, const Place& at, uint32_t number,
                          std::string_view content) {
  std::string out;
  out.reserve(message.size() + content.size() + 12);
  out.append(message.substr(0, at.begin));
  append_bytes_field(out, number, content);
  out.append(message.substr(at.end));
  return out;
}

constexpr uint32_t kRawField = 2;
constexpr uint32_t kMetadataField = 1;
constexpr uint32_t kResourceVersionField = 6;

// The envelope with metadata.resourceVersion set; nothing when it is damaged.
std::optional<std::string> with_resource_version(std::string_view stored,
                                                 std::string_view version) {
  std::string_view unknown = stored.substr(kProtobufMagic.size());
  auto raw_at = locate(unknown, kRawField);
  if (!raw_at) return std::nullopt;
  std::string_view raw = unknown.substr(raw_at->content, raw_at->end - raw_at->content);
  auto meta_at = locate(raw, kMetadataField);
  if (!meta_at) return std::nullopt;
  std::string_view meta = raw.substr(meta_at->content, meta_at->end - meta_at->content);
  auto version_at = locate(meta, kResourceVersionField);
  if (!version_at) return std::nullopt;
  std::string new_meta = replace_field(meta, *version_at, kResourceVersionField, version);
  std::string new_raw = replace_field(raw, *meta_at, kMetadataField, new_meta);
  std::string out(kProtobufMagic);
  out += replace_field(unknown, *raw_at, kRawField, new_raw);
  return out;
}

// Views into what it was read from.
struct Identity {
  std::string_view namespace_, name, uid;
};

std::optional<Identity> identity_of(std::string_view stored) {
  auto envelope = open_protobuf(stored);
  if (!envelope.ok()) return std::nullopt;
  auto meta_at = locate(envelope->raw, kMetadataField);
  if (!meta_at) return std::nullopt;
  Identity out;
  WireReader r(envelope->raw.substr(meta_at->content, meta_at->end - meta_at->content));
  while (!r.done()) {
    const uint32_t n = r.tag();
    if (!r.ok()) return std::nullopt;
    if (r.type() != 2 || n > 5) {
      r.skip();
    } else if (n == 1) {
      out.name = r.bytes();
    } else if (n == 3) {
      out.namespace_ = r.bytes();
    } else if (n == 5) {
      out.uid = r.bytes();
    } else {
      r.skip();
    }
    if (!r.ok()) return std::nullopt;
  }
  return out;
}

Identity identity_of(const Value& root) {
  const Value& meta = root["metadata"];
  return {meta["namespace"].as_string(), meta["name"].as_string(), meta["uid"].as_string()};
}

// Revision 0 is that of an object that was never stored, which says none.
void set_resource_version(Document& doc, int64_t revision) {
  if (revision == 0) return;
  Value& meta = doc.root.get_or_add(doc.arena, "metadata");
  meta.set(doc.arena, "resourceVersion", Value::string(doc.arena.copy(std::to_string(revision))));
}

constexpr size_t kOverhead = 128;  // of a form beyond its bytes: control blocks, the budget's entry

size_t cost_of(const Document& d) { return d.arena.bytes_reserved() + kOverhead; }
size_t cost_of(const std::string& s) { return s.capacity() + kOverhead; }
size_t cost_of(const Object& o) {
  return sizeof o + o.name().size() + o.namespace_().size() + o.uid().size() + kOverhead;
}

// Where metadata.resourceVersion stands in the JSON of a custom resource that has none: before the
// first member that sorts behind it. Of a text as write_json makes it, members sorted; 0 when it
// has no metadata.
class VersionPlace {
 public:
  explicit VersionPlace(std::string_view json) : json_(json) {}
  size_t find() {
    if (!enter("metadata", false)) return 0;
    ++at_;  // its brace
    if (at_ >= json_.size() || json_[at_] != '"') return 0;
    return enter("resourceVersion", true) && at_ < json_.size() ? at_ : 0;
  }

 private:
  // From an object's first member to the value of that name; or to the first name behind it, or the
  // object's end. `at_` is at the first quote.
  bool enter(std::string_view name, bool behind) {
    if (!behind) at_ = 1;
    while (at_ < json_.size()) {
      const size_t member = at_;
      skip_string();
      const std::string_view key = json_.substr(member + 1, at_ - member - 2);
      ++at_;  // the colon
      if (!behind && key == name) return true;
      if (behind && key > name) return at_ = member, true;
      skip_value();
      if (at_ >= json_.size()) return false;
      if (json_[at_] != ',') return behind;
      ++at_;
    }
    return false;
  }
  void skip_string() {
    const size_t first = ++at_;
    for (;; ++at_) {
      at_ = std::min(json_.find('"', at_), json_.size());
      size_t escapes = at_;
      while (escapes > first && json_[escapes - 1] == '\\') --escapes;
      if (at_ == json_.size() || (at_ - escapes) % 2 == 0) break;
    }
    ++at_;
  }
  void skip_value() {
    int depth = 0;
    while (at_ < json_.size()) {
      const char c = json_[at_];
      if (c == '"') {
        skip_string();
      } else if (c == '{' || c == '[') {
        ++depth, ++at_;
      } else if (c == '}' || c == ']') {
        if (depth == 0) return;
        --depth, ++at_;
      } else if (c == ',' && depth == 0) {
        return;
      } else {
        ++at_;
        continue;
      }
      if (depth == 0) return;
    }
  }
  std::string_view json_;
  size_t at_ = 0;
};

// The JSON of a custom resource that is stored as `stored`, which was written from its very tree;
// null when there is no place for its version.
std::shared_ptr<const std::string> json_of_stored(std::string_view stored, int64_t revision) {
  const size_t at = VersionPlace(stored).find();
  if (at == 0) return nullptr;
  const bool last = stored[at] == '}';
  const std::string member = "\"resourceVersion\":\"" + std::to_string(revision) + '"';
  auto out = std::make_shared<std::string>();
  out->reserve(stored.size() + member.size() + 1);
  out->append(stored.substr(0, at));
  if (last) out->push_back(',');
  out->append(member);
  if (!last) out->push_back(',');
  out->append(stored.substr(at));
  return out;
}

Status damaged(const KindDesc* kind, const std::string& why) {
  return Status::internal("stored " + std::string(kind ? kind->kind : "object") +
                          " is damaged: " + why);
}

Result<Document> parse_stored_json(const KindDesc* kind, const std::string& stored) {
  auto parsed = parse_json(stored);
  if (!parsed.ok()) return damaged(kind, parsed.status().message());
  if (!parsed->root.is_map()) return damaged(kind, "it is no JSON object");
  return parsed;
}

}  // namespace

// One form of one object, the budget's.
struct Object::Form final : Budget::Item {
  Form(const Object* o, size_t at, std::shared_ptr<const void> form)
      : object(o), slot(at), what(std::move(form)) {}
  std::shared_ptr<const void> let_go() override {
    std::shared_ptr<const void> out;
    {
      std::lock_guard lock(lock_of(object));
      out = std::move(what);
      object->forms_[slot].store(nullptr, std::memory_order_release);
    }
    delete this;
    return out;
  }
  const Object* object;
  size_t slot;
  std::shared_ptr<const void> what;
};

struct Object::Private {
  const KindDesc* kind;
  int64_t revision = 0;
  std::string_view ns, name, uid;
};

Object::Object(Private&& p) : kind_(p.kind), revision_(p.revision) {
  namespace_size_ = static_cast<uint32_t>(p.ns.size());
  name_size_ = static_cast<uint32_t>(p.name.size());
  uid_size_ = static_cast<uint32_t>(p.uid.size());
  names_.reset(new char[p.ns.size() + p.name.size() + p.uid.size()]);
  char* at = std::copy(p.ns.begin(), p.ns.end(), names_.get());
  at = std::copy(p.name.begin(), p.name.end(), at);
  std::copy(p.uid.begin(), p.uid.end(), at);
}

Object::~Object() {
  auto there = [](const auto& slot) { return slot.load(std::memory_order_acquire) != nullptr; };
  if (std::any_of(std::begin(forms_), std::end(forms_), there)) process_budget().release(forms_);
}

// The form when it is there.
template <class T>
std::shared_ptr<const T> Object::made(size_t slot) const {
  std::lock_guard lock(lock_of(this));
  if (slot == kTree && from_tree_) return std::static_pointer_cast<const T>(origin_);
  auto* form = static_cast<const Form*>(forms_[slot].load(std::memory_order_relaxed));
  return form ? std::static_pointer_cast<const T>(form->what) : nullptr;
}

// The form as everybody is to see it: `form`, or what another thread made meanwhile. One event is
// read by several components, one after the other: each form is held a little longer.
template <class T>
std::shared_ptr<const T> Object::keep(size_t slot, std::shared_ptr<const T> form) const {
  auto item = std::make_unique<Form>(this, slot, form);
  {
    std::lock_guard lock(lock_of(this));
    auto* there = static_cast<const Form*>(forms_[slot].load(std::memory_order_relaxed));
    if (there) return std::static_pointer_cast<const T>(there->what);
    forms_[slot].store(item.get(), std::memory_order_release);
  }
  process_budget().hold(Budget::Side::kForms, item.release(), cost_of(*form));
  return form;
}

ObjectPtr Object::from_document(const KindDesc& kind, Document doc) {
  hold_kind(doc.arena, kind);
  const Identity id = identity_of(doc.root);
  std::string_view version = doc.root["metadata"]["resourceVersion"].as_string();
  Private p{&kind, 0, id.namespace_, id.name, id.uid};
  std::from_chars(version.data(), version.data() + version.size(), p.revision);
  auto out = std::make_shared<Object>(std::move(p));
  out->from_tree_ = true;
  out->origin_ = std::make_shared<const Document>(std::move(doc));
  return out;
}

Object::Draft Object::Draft::of(const KindDesc& kind, Bytes stored, std::string_view ns,
                                std::string_view name, std::string_view uid) {
  Draft out;
  out.object_ = std::make_shared<Object>(Private{&kind, 0, ns, name, uid});
  out.object_->origin_ = std::move(stored);
  return out;
}

Result<Object::Draft> Object::Draft::check(const KindDesc& kind, Bytes stored) {
  if (!stored->starts_with(kProtobufMagic)) {
    TRY_ASSIGN(doc, parse_stored_json(&kind, *stored));
    const Identity id = identity_of(doc.root);
    return of(kind, std::move(stored), id.namespace_, id.name, id.uid);
  }
  auto envelope = open_protobuf(*stored);
  if (!envelope.ok()) return damaged(&kind, "its envelope cannot be decoded");
  auto id = identity_of(*stored);
  if (!id) return damaged(&kind, "its metadata cannot be decoded");
  if (kind.owner || !is_protobuf_of(*kind.type, envelope->raw)) {
    return damaged(&kind, "it cannot be decoded");
  }
  return of(kind, std::move(stored), id->namespace_, id->name, id->uid);
}

Object::Draft Object::Draft::trust(const KindDesc& kind, Bytes stored, Document doc) {
  const Identity id = identity_of(doc.root);
  Draft out = of(kind, std::move(stored), id.namespace_, id.name, id.uid);
  hold_kind(doc.arena, kind);
  out.tree_ = std::move(doc);
  return out;
}

ObjectPtr Object::Draft::finish(int64_t revision) && {
  object_->revision_ = revision;
  if (tree_) {
    // Who wrote it is about to be answered: the text is there already, but for its version.
    if (object_->kind().owner && revision != 0) {
      auto stored = std::static_pointer_cast<const std::string>(object_->origin_);
      if (auto json = json_of_stored(*stored, revision)) object_->keep<std::string>(kJson, json);
    }
    set_resource_version(*tree_, revision);
    object_->keep<Document>(kTree, std::make_shared<const Document>(std::move(*tree_)));
  }
  return std::move(object_);
}

Result<ObjectPtr> Object::from_stored(const KindDesc& kind, Bytes stored, int64_t revision) {
  TRY_ASSIGN(draft, Draft::check(kind, std::move(stored)));
  return std::move(draft).finish(revision);
}

Result<ObjectPtr> Object::from_json(const FindKind& find, Bytes stored, int64_t revision) {
  TRY_ASSIGN(doc, parse_stored_json(nullptr, *stored));
  const std::string_view api_version = doc.root["apiVersion"].as_string();
  const std::string_view name = doc.root["kind"].as_string();
  if (api_version.empty() || name.empty()) return damaged(nullptr, "it names no kind");
  if (is_older_version(api_version, name)) {
    to_served_version(doc);
    return from_json(find, std::make_shared<const std::string>(to_json(doc.root)), revision);
  }
  if (const KindDesc* known = find ? find(api_version, name) : nullptr) {
    return from_stored(*known, std::move(stored), revision);
  }
  const KindRef kind = unbound_kind(api_version, name);
  const Identity id = identity_of(doc.root);
  return Draft::of(*kind, std::move(stored), id.namespace_, id.name, id.uid).finish(revision);
}

ObjectPtr Object::at_revision(const Object& o, int64_t revision) {
  auto out =
      std::make_shared<Object>(Private{&o.kind(), revision, o.namespace_(), o.name(), o.uid()});
  out->origin_ = o.stored();
  return out;
}

ObjectPtr Object::as(const KindDesc& kind, const ObjectPtr& o) {
  if (&o->kind() == &kind) return o;
  if (ObjectPtr seen = seen_as(kind, o)) return seen;
  auto out =
      std::make_shared<Object>(Private{&kind, o->revision(), o->namespace_(), o->name(), o->uid()});
  out->origin_ = o->stored();
  show_as(o, out);
  return out;
}

ObjectPtr Object::seen_as(const KindDesc& kind, const ObjectPtr& o) {
  if (&o->kind() == &kind) return o;
  ObjectPtr seen = o->made<Object>(kOther);
  return seen && &seen->kind() == &kind ? seen : nullptr;
}

void Object::show_as(const ObjectPtr& o, ObjectPtr converted) {
  const size_t cost = cost_of(*converted);
  auto item = std::make_unique<Form>(o.get(), kOther, converted);
  {
    std::shared_ptr<const void> before;  // goes after the lock does
    std::lock_guard lock(lock_of(o.get()));
    auto& slot = o->forms_[kOther];
    if (auto* there = static_cast<Form*>(slot.load(std::memory_order_relaxed))) {
      before = std::exchange(there->what, std::move(converted));
      return;
    }
    slot.store(item.get(), std::memory_order_release);
  }
  process_budget().hold(Budget::Side::kForms, item.release(), cost);
}

std::string Object::key() const {
  std::string out(namespace_());
  if (!out.empty()) out += '/';
  return out.append(name());
}

DocumentPtr Object::tree() const {
  if (auto t = made<Document>(kTree)) return t;
  const Bytes stored = this->stored();
  auto decode = [&]() -> Result<Document> {
    if (stored->starts_with(kProtobufMagic)) return decode_object_protobuf(*kind_, *stored, stored);
    TRY_ASSIGN(parsed, parse_json(*stored));
    if (kind_->owner) {
      hold_kind(parsed.arena, *kind_);
      kind_->owner->bind(*kind_, parsed);
    } else {
      TRY(normalize(*kind_->type, parsed));
    }
    return std::move(parsed);
  };
  auto decoded = decode();
  Document doc;
  if (decoded.ok()) {
    doc = std::move(*decoded);
  } else {
    // Draft::check says what decodes, so this is a fault of memory or of that check (which does not
    // look at the types of a built-in kind's JSON): be loud, and show what is known.
    log::error("An object that was checked cannot be decoded",
               {{"kind", kind_->kind}, {"object", key()}, {"error", decoded.status()}});
    Value& meta = doc.root.get_or_add(doc.arena, "metadata");
    meta.set(doc.arena, "name", Value::string(doc.arena.copy(name())));
    meta.set(doc.arena, "namespace", Value::string(doc.arena.copy(namespace_())));
  }
  set_resource_version(doc, revision_);
  return keep<Document>(kTree, std::make_shared<const Document>(std::move(doc)));
}

DocumentPtr Object::metadata() const {
  if (auto t = made<Document>(kTree)) return t;
  const Bytes stored = this->stored();
  const FieldDesc* field = kind_->type->find("metadata");
  if (!stored->starts_with(kProtobufMagic) || !field || !field->message) return tree();
  auto envelope = open_protobuf(*stored);
  if (!envelope.ok()) return tree();
  auto at = locate(envelope->raw, kMetadataField);
  if (!at) return tree();
  auto decoded = decode_protobuf(*field->message,
                                 envelope->raw.substr(at->content, at->end - at->content), stored);
  if (!decoded.ok()) return tree();
  Value inner = std::exchange(decoded->root, Value::map());
  decoded->root.set(decoded->arena, "metadata", inner);
  set_resource_version(*decoded, revision_);
  return std::make_shared<const Document>(std::move(*decoded));
}

Bytes Object::json() const {
  if (auto there = made<std::string>(kJson)) return there;
  auto doc = tree();
  // Written where there is room, kept in as many bytes as it has.
  constexpr size_t kMostRoom = 64 * 1024;
  static thread_local std::string text;
  text.clear();
  if (is_json_only(*kind_)) {
    write_json(text, doc->root, true);
  } else {
    write_json(text, *kind_, doc->root);
  }
  auto kept = std::make_shared<const std::string>(text);
  if (text.capacity() > kMostRoom) std::string().swap(text);
  return keep<std::string>(kJson, std::move(kept));
}

Bytes Object::stored() const {
  {
    std::lock_guard lock(lock_of(this));
    if (!from_tree_) return std::static_pointer_cast<const std::string>(origin_);
  }
  auto doc = tree();
  std::shared_ptr<std::string> bytes;
  if (is_json_only(*kind_)) {
    Document copy = doc->clone();
    if (Value* meta = copy.root.find("metadata")) meta->erase("resourceVersion");
    bytes = std::make_shared<std::string>();
    write_json(*bytes, copy.root, true);
  } else {
    std::string full = encode_object(*kind_, doc->root);
    auto stripped = with_resource_version(full, "");
    bytes = std::make_shared<std::string>(stripped ? std::move(*stripped) : std::move(full));
  }
  {
    std::lock_guard lock(lock_of(this));
    if (!from_tree_) return std::static_pointer_cast<const std::string>(origin_);
    origin_ = bytes;
    from_tree_ = false;
  }
  keep<Document>(kTree, std::move(doc));  // it can be made again now
  return bytes;
}

Bytes Object::protobuf() const {
  if (auto there = made<std::string>(kProtobuf)) return there;
  if (is_json_only(*kind_)) return json();
  Bytes base = stored();
  if (!base->starts_with(kProtobufMagic)) {
    auto encoded = std::make_shared<std::string>(encode_object(*kind_, tree()->root));
    return keep<std::string>(kProtobuf, std::move(encoded));
  }
  if (revision_ == 0) return base;
  auto spliced = with_resource_version(*base, std::to_string(revision_));
  auto bytes = std::make_shared<std::string>(spliced ? std::move(*spliced) : *base);
  return keep<std::string>(kProtobuf, std::move(bytes));
}

}  // namespace keles
