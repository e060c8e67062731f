#include "machinery/object.h"

#include <array>
#include <charconv>
#include <mutex>
#include <optional>

#include "base/budget.h"
#include "base/log.h"
#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"

namespace keles {

// Forms are read and set under one of a few locks, chosen by address: an Object stays small. What
// can be made again is held by the process's budget, and by whoever reads it.
struct Object::Forms {
  template <class T>
  struct Made {
    std::weak_ptr<const T> form;
    Budget::Charge held;
  };
  Bytes stored;
  DocumentPtr kept_tree;  // while there is no stored form to make it from again
  Made<Document> tree;
  Made<std::string> json, protobuf;
};

struct Object::Private {
  const KindDesc* kind;
  std::string namespace_, name, uid;
  int64_t revision = 0;
  std::unique_ptr<Forms> forms;
};

namespace {

std::mutex& lock_of(const void* p) {
  static std::array<std::mutex, 64> locks;
  return locks[reinterpret_cast<uintptr_t>(p) / 64 % locks.size()];
}

// A custom resource has no protobuf form: it is stored as JSON.
bool is_json_only(const KindDesc& kind) { return kind.type->wire.empty(); }

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

struct Identity {
  std::string namespace_, name, uid;
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
  return {std::string(meta["namespace"].as_string()), std::string(meta["name"].as_string()),
          std::string(meta["uid"].as_string())};
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

// The form as everybody is to see it: `made`, or what another thread made meanwhile. One event is
// read by several components, one after the other: each form is held a little longer.
template <class T, class M>
std::shared_ptr<const T> keep(const void* object, M& slot, std::shared_ptr<const T> made) {
  Budget::Charge held = process_budget().hold(Budget::Side::kForms, made, cost_of(*made));
  std::lock_guard lock(lock_of(object));
  if (auto there = slot.form.lock()) return there;
  slot.form = made;
  std::swap(slot.held, held);  // the old one goes after the lock does
  return made;
}

}  // namespace

Object::Object(Private&& p)
    : kind_(p.kind),
      namespace__(std::move(p.namespace_)),
      name_(std::move(p.name)),
      uid_(std::move(p.uid)),
      revision_(p.revision),
      forms_(std::move(p.forms)) {}

Object::~Object() = default;

ObjectPtr Object::from_document(const KindDesc& kind, Document doc) {
  Identity id = identity_of(doc.root);
  std::string_view version = doc.root["metadata"]["resourceVersion"].as_string();
  Private p{&kind, std::move(id.namespace_), std::move(id.name), std::move(id.uid),
            0,     std::make_unique<Forms>()};
  std::from_chars(version.data(), version.data() + version.size(), p.revision);
  p.forms->kept_tree = std::make_shared<const Document>(std::move(doc));
  p.forms->tree.form = p.forms->kept_tree;
  return std::make_shared<const Object>(std::move(p));
}

Result<Object::Draft> Object::Draft::check(const KindDesc& kind, Bytes stored) {
  auto damaged = [&kind](const std::string& why) {
    return Status::internal("stored " + std::string(kind.kind) + " is damaged: " + why);
  };
  std::optional<Identity> id;
  if (stored->starts_with(kProtobufMagic)) {
    auto envelope = open_protobuf(*stored);
    if (!envelope.ok()) return damaged("its envelope cannot be decoded");
    id = identity_of(*stored);
    if (!id) return damaged("its metadata cannot be decoded");
    if (!is_protobuf_of(*kind.type, envelope->raw)) return damaged("it cannot be decoded");
  } else {
    auto doc = parse_json(*stored);
    if (!doc.ok()) return damaged(doc.status().message());
    if (!doc->root.is_map()) return damaged("it is no JSON object");
    id = identity_of(doc->root);
  }
  Draft out;
  out.object_ =
      std::make_shared<Object>(Private{&kind, std::move(id->namespace_), std::move(id->name),
                                       std::move(id->uid), 0, std::make_unique<Forms>()});
  out.object_->forms_->stored = std::move(stored);
  return out;
}

Object::Draft Object::Draft::trust(const KindDesc& kind, Bytes stored, Document doc) {
  Identity id = identity_of(doc.root);
  Draft out;
  out.object_ =
      std::make_shared<Object>(Private{&kind, std::move(id.namespace_), std::move(id.name),
                                       std::move(id.uid), 0, std::make_unique<Forms>()});
  out.object_->forms_->stored = std::move(stored);
  out.tree_ = std::move(doc);
  return out;
}

ObjectPtr Object::Draft::finish(int64_t revision) && {
  object_->revision_ = revision;
  if (tree_) {
    set_resource_version(*tree_, revision);
    keep<Document>(object_.get(), object_->forms_->tree,
                   std::make_shared<const Document>(std::move(*tree_)));
  }
  return std::move(object_);
}

Result<ObjectPtr> Object::from_stored(const KindDesc& kind, Bytes stored, int64_t revision) {
  TRY_ASSIGN(draft, Draft::check(kind, std::move(stored)));
  return std::move(draft).finish(revision);
}

ObjectPtr Object::at_revision(const Object& o, int64_t revision) {
  Private p{o.kind_, o.namespace__, o.name_, o.uid_, revision, std::make_unique<Forms>()};
  p.forms->stored = o.stored();
  return std::make_shared<const Object>(std::move(p));
}

std::string Object::key() const { return namespace__.empty() ? name_ : namespace__ + '/' + name_; }

DocumentPtr Object::tree() const {
  Bytes stored;
  {
    std::lock_guard lock(lock_of(this));
    if (auto t = forms_->tree.form.lock()) return t;
    stored = forms_->stored;
  }
  auto decode = [&]() -> Result<Document> {
    if (stored->starts_with(kProtobufMagic)) return decode_object_protobuf(*kind_, *stored, stored);
    return parse_json(*stored);
  };
  auto decoded = decode();
  Document doc;
  if (decoded.ok()) {
    doc = std::move(*decoded);
  } else {
    // Draft::check says what decodes, so this is a fault of memory or of that check: be loud, and
    // show what is known.
    log::error("An object that was checked cannot be decoded",
               {{"kind", kind_->kind}, {"object", key()}, {"error", decoded.status()}});
    Value& meta = doc.root.get_or_add(doc.arena, "metadata");
    meta.set(doc.arena, "name", Value::string(doc.arena.copy(name_)));
    meta.set(doc.arena, "namespace", Value::string(doc.arena.copy(namespace__)));
  }
  set_resource_version(doc, revision_);
  return keep<Document>(this, forms_->tree, std::make_shared<const Document>(std::move(doc)));
}

Bytes Object::json() const {
  {
    std::lock_guard lock(lock_of(this));
    if (auto made = forms_->json.form.lock()) return made;
  }
  auto doc = tree();
  auto made = std::make_shared<std::string>();
  if (is_json_only(*kind_)) {
    write_json(*made, doc->root, true);
  } else {
    write_json(*made, *kind_, doc->root);
  }
  made->shrink_to_fit();
  return keep<std::string>(this, forms_->json, std::move(made));
}

Bytes Object::stored() const {
  {
    std::lock_guard lock(lock_of(this));
    if (forms_->stored != nullptr) return forms_->stored;
  }
  auto doc = tree();
  std::shared_ptr<std::string> made;
  if (is_json_only(*kind_)) {
    Document copy = doc->clone();
    if (Value* meta = copy.root.find("metadata")) meta->erase("resourceVersion");
    made = std::make_shared<std::string>();
    write_json(*made, copy.root, true);
  } else {
    std::string full = encode_object(*kind_, doc->root);
    auto stripped = with_resource_version(full, "");
    made = std::make_shared<std::string>(stripped ? std::move(*stripped) : std::move(full));
  }
  std::lock_guard lock(lock_of(this));
  if (forms_->stored == nullptr) {
    forms_->stored = std::move(made);
    forms_->kept_tree = nullptr;
  }
  return forms_->stored;
}

Bytes Object::protobuf() const {
  {
    std::lock_guard lock(lock_of(this));
    if (auto made = forms_->protobuf.form.lock()) return made;
  }
  Bytes base = stored();
  std::shared_ptr<std::string> made;
  if (base->starts_with(kProtobufMagic) && revision_ == 0) {
    return base;
  } else if (base->starts_with(kProtobufMagic)) {
    auto spliced = with_resource_version(*base, std::to_string(revision_));
    made = std::make_shared<std::string>(spliced ? std::move(*spliced) : *base);
  } else {
    return json();
  }
  return keep<std::string>(this, forms_->protobuf, std::move(made));
}

}  // namespace keles
