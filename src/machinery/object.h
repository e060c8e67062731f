// Object: one immutable API object with its encoded forms, each made at most once and shared by
// everyone who needs it (lists, watches, in-process clients). Thread-safe.
//
// A custom resource's stored form is JSON, which says itself of which version it is. It is shown
// as() a kind of another version, or of a newer definition, by an Object that shares its bytes.
// Every Object holds its kind.
//
// An Object can be read: bytes that come from a disk or a peer are checked whole, down to the last
// field, before they become one. What fails that check is for its holder to tell of (Store's
// unreadable()), so that lists, gets, watches and selectors never meet half an object.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/budget.h"
#include "base/status.h"
#include "machinery/schema.h"
#include "machinery/value.h"

namespace keles {

using Bytes = std::shared_ptr<const std::string>;

class Object;
using ObjectPtr = std::shared_ptr<const Object>;

class Object {
 public:
  // From a finished tree (metadata.resourceVersion included).
  static ObjectPtr from_document(const KindDesc& kind, Document doc);
  // From the stored form, without resourceVersion, which is `revision`: the protobuf envelope, or
  // JSON. Fails when the bytes are not, as a whole, an object of that kind.
  static Result<ObjectPtr> from_stored(const KindDesc& kind, Bytes stored, int64_t revision);
  // From a stored form in JSON, which names its kind itself. When `find` knows none of that name it
  // is a custom resource's: of a kind that describes nothing (unbound_kind.h), until it is shown
  // as() one that does.
  using FindKind = std::function<const KindDesc*(std::string_view api_version, std::string_view)>;
  static Result<ObjectPtr> from_json(const FindKind& find, Bytes stored, int64_t revision);
  // The same object with another resourceVersion.
  static ObjectPtr at_revision(const Object& o, int64_t revision);
  // The object as its kind's other version, or newer definition: itself, what was last made of it
  // and is still in the budget, or made now, by the kind's owner alone (KindOwner::bind).
  static ObjectPtr as(const KindDesc& kind, const ObjectPtr& o);
  // What as() has at hand, or null; and what it is to have: what others converted.
  static ObjectPtr seen_as(const KindDesc& kind, const ObjectPtr& o);
  static void show_as(const ObjectPtr& o, ObjectPtr converted);

  // An object on its way into a store, which gives it its revision at the end.
  class Draft {
   public:
    // Fails as from_stored does.
    static Result<Draft> check(const KindDesc& kind, Bytes stored);
    // When the caller has just encoded `stored` from `doc` itself; the tree is kept warm.
    static Draft trust(const KindDesc& kind, Bytes stored, Document doc);
    ObjectPtr finish(int64_t revision) &&;

   private:
    friend class Object;
    static Draft of(const KindDesc& kind, Bytes stored, std::string_view ns, std::string_view name,
                    std::string_view uid);
    std::shared_ptr<Object> object_;
    std::optional<Document> tree_;
  };

  const KindDesc& kind() const { return *kind_; }
  std::string_view namespace_() const { return {names_.get(), namespace_size_}; }
  std::string_view name() const { return {names_.get() + namespace_size_, name_size_}; }
  std::string_view uid() const { return {names_.get() + namespace_size_ + name_size_, uid_size_}; }
  int64_t revision() const { return revision_; }  // resourceVersion as a number
  std::string key() const;                        // "ns/name" or "name"

  DocumentPtr tree() const;  // decoded when needed, kept while anyone holds it
  // A tree that surely has `metadata`, and perhaps nothing else: for who looks at many objects to
  // find a few.
  DocumentPtr metadata() const;
  Bytes json() const;      // compact JSON, no newline
  Bytes protobuf() const;  // with the envelope and resourceVersion; not of a custom resource
  // As the store keeps it, without resourceVersion: the envelope, or JSON. Shown as() another kind
  // it stays what it was.
  Bytes stored() const;
  ~Object();

  struct Private;  // construction goes through the functions above
  explicit Object(Private&&);
  Object(const Object&) = delete;

 private:
  struct Form;
  template <class T>
  std::shared_ptr<const T> made(size_t slot) const;
  template <class T>
  std::shared_ptr<const T> keep(size_t slot, std::shared_ptr<const T> form) const;

  KindRef kind_;
  int64_t revision_ = 0;
  std::unique_ptr<char[]> names_;  // namespace, name, uid, one behind the other
  uint32_t namespace_size_ = 0, name_size_ = 0, uid_size_ = 0;
  mutable bool from_tree_ = false;
  // The stored bytes; or, of an object that was never stored, its tree, until they are asked for.
  mutable std::shared_ptr<const void> origin_;
  // What can be made again is the process's budget's: an object holds nothing of what it let go.
  enum Slot : size_t { kTree, kJson, kProtobuf, kOther, kSlots };  // kOther: see as()
  mutable std::atomic<Budget::Item*> forms_[kSlots] = {};
};

// The object read as T, keeping its tree alive.
template <class T>
Ref<T> read(const ObjectPtr& o) {
  return o ? Ref<T>(o->tree()) : Ref<T>();
}

}  // namespace keles
