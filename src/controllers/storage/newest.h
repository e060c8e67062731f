// The newest state known of the objects of a kind: what the informer shows, or what this process
// wrote since. A controller that writes one object several times in a row, and others that refer to
// it, would meet itself as a conflict otherwise. One loop's thread.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>

#include "client/informer.h"

namespace keles::controllers {

template <class T>
class Newest {
 public:
  // `learnt` is told of every newer state, and of an object's end (null, with its key).
  Newest(Informer<T> informer, std::function<void(const std::string& key, const ObjectPtr&)> learnt)
      : informer_(std::move(informer)), learnt_(std::move(learnt)) {
    auto heard = [this](const ObjectPtr& now) {
      auto it = written_.find(now->key());
      if (it != written_.end() && it->second->revision() > now->revision()) return;
      if (it != written_.end()) written_.erase(it);
      if (learnt_) learnt_(now->key(), now);
    };
    informer_.base().add_handler({heard,
                                  [heard](const ObjectPtr&, const ObjectPtr& now) { heard(now); },
                                  [this](const ObjectPtr& last) {
                                    written_.erase(last->key());
                                    if (learnt_) learnt_(last->key(), nullptr);
                                  }});
  }

  ObjectPtr object(std::string_view ns, std::string_view name) const {
    ObjectPtr seen = informer_.base().get(ns, name);
    if (!seen) return nullptr;
    auto it = written_.find(seen->key());
    return it == written_.end() ? seen : it->second;
  }
  Ref<T> get(std::string_view ns, std::string_view name) const { return read<T>(object(ns, name)); }

  // What a write of ours answered.
  void wrote(const ObjectPtr& now) {
    const ObjectPtr seen = informer_.base().get(now->namespace_(), now->name());
    if (!seen || seen->uid() != now->uid() || seen->revision() >= now->revision()) return;
    written_[now->key()] = now;
    if (learnt_) learnt_(now->key(), now);
  }
  const Informer<T>& informer() const { return informer_; }

 private:
  Informer<T> informer_;
  std::function<void(const std::string&, const ObjectPtr&)> learnt_;
  std::map<std::string, ObjectPtr> written_;
};

}  // namespace keles::controllers
