// Informer: a local, always current copy of a selection of one kind, kept by list and watch, shared
// by everyone on the loop who needs that selection. Reads never leave the process.
//
// It holds the objects as they came: in process, the store's own, which cost nothing more. Trees
// are the budget's. Who lists a kind of which there are many reads no more of each than he must: by
// index, by select(), or by an extract of his own.
//
// Guarantees: handlers see, for each object, add, then updates, then delete, in revision order;
// after a broken watch the copy is brought level by a new list and the differences are delivered
// (Handler::relisted then tells that there was one).
// It retries for ever with backoff (0.8 s to 30 s, jittered), and never goes back to an older
// revision.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "client/client.h"

namespace keles {

class InformerBase {
 public:
  struct Handler {
    std::function<void(const ObjectPtr& now)> added;
    std::function<void(const ObjectPtr& before, const ObjectPtr& now)> updated;
    std::function<void(const ObjectPtr& last)> deleted;
    // The copy was brought level by a new list, whose differences have been told. What came and
    // went since the last event left no trace: who made something, and waits to see it, looks
    // again.
    std::function<void()> relisted;
  };
  // Computes the index values of an object.
  using Indexer = std::function<std::vector<std::string>(const ObjectPtr&)>;

  virtual ~InformerBase() = default;
  virtual const KindDesc& kind() const = 0;
  // Existing objects are delivered to a new handler as added. Handlers run on the loop and do not
  // wait.
  virtual void add_handler(Handler h) = 0;
  // Before start or after; builds the index from what is there.
  virtual void add_index(std::string name, Indexer fn) = 0;
  virtual bool synced() const = 0;
  // Since when it has heard of every change without a gap; TimePoint::max() while it hears nothing
  // (the connection is broken). Who concludes something from silence must ask.
  virtual TimePoint hearing_since() const = 0;
  virtual Task<Status> wait_synced(Context ctx) = 0;
  virtual ObjectPtr get(std::string_view ns, std::string_view name) const = 0;
  // All, or those of one namespace when `ns` is not empty; in the order of namespace and name.
  virtual std::vector<ObjectPtr> list(std::string_view ns = {}) const = 0;
  virtual std::vector<ObjectPtr> by_index(std::string_view index, std::string_view value) const = 0;
  // The values that the index has objects under, in order, and how many those are.
  virtual std::vector<std::pair<std::string, size_t>> index_values(
      std::string_view index) const = 0;
  virtual size_t size() const = 0;
};

// Typed reading of an InformerBase.
template <class T>
class Informer {
 public:
  explicit Informer(std::shared_ptr<InformerBase> base) : base_(std::move(base)) {}
  Ref<T> get(std::string_view ns, std::string_view name) const {
    return read<T>(base_->get(ns, name));
  }
  std::vector<Ref<T>> list(std::string_view ns = {}) const { return refs(base_->list(ns)); }
  std::vector<Ref<T>> by_index(std::string_view index, std::string_view value) const {
    return refs(base_->by_index(index, value));
  }
  // Those of the namespace of which `matches` is true, asked of their metadata alone: the others
  // need not be decoded whole.
  template <class Matches>
  std::vector<Ref<T>> select(std::string_view ns, Matches matches) const {
    std::vector<Ref<T>> out;
    for (const ObjectPtr& o : base_->list(ns)) {
      DocumentPtr tree = o->metadata();
      if (matches(T(tree->root).metadata())) out.push_back(read<T>(o));
    }
    return out;
  }
  // `fn` sees every change: (before, now); before is empty for an add, now is empty for a delete.
  void on_change(std::function<void(const Ref<T>& before, const Ref<T>& now)> fn) const {
    base_->add_handler(
        {[fn](const ObjectPtr& n) { fn(Ref<T>(), read<T>(n)); },
         [fn](const ObjectPtr& b, const ObjectPtr& n) { fn(read<T>(b), read<T>(n)); },
         [fn](const ObjectPtr& l) { fn(read<T>(l), Ref<T>()); }});
  }
  InformerBase& base() const { return *base_; }

 private:
  static std::vector<Ref<T>> refs(const std::vector<ObjectPtr>& v) {
    std::vector<Ref<T>> out;
    out.reserve(v.size());
    for (const auto& o : v) out.push_back(read<T>(o));
    return out;
  }
  std::shared_ptr<InformerBase> base_;
};

// One informer per (kind, namespace, selectors), shared. start() runs all until ctx ends.
class InformerFactory {
 public:
  explicit InformerFactory(Client& client);
  ~InformerFactory();
  template <class T>
  Informer<T> informer(std::string ns = {}, std::string label_selector = {},
                       std::string field_selector = {}) {
    return Informer<T>(informer(&kind_of<T>(), std::move(ns), std::move(label_selector),
                                std::move(field_selector)));
  }
  std::shared_ptr<InformerBase> informer(const KindDesc* kind, std::string ns,
                                         std::string label_selector, std::string field_selector);
  // One of all objects of a kind, shared with nobody, that runs until ctx ends: for custom kinds,
  // which come and go. It holds its kind.
  std::shared_ptr<InformerBase> informer_until(Context ctx, const KindDesc* kind);
  // Starts those made so far and, as they are made, later ones.
  void start(Context ctx);
  Task<Status> wait_synced(Context ctx);
  // After start()'s context has ended: waits until every informer has stopped.
  Task<void> join();

 private:
  struct Impl;
  Client& client_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace keles
