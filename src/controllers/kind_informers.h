// KindInformers: an informer for each resource that the server serves, as the catalog changes: who
// must know all objects there are (the garbage collector) is told of those of custom kinds as well.
// Built-in kinds' informers are the factory's, shared; custom kinds' come and go.
//
// Belongs to the client's loop.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/notice.h"
#include "base/sync.h"
#include "client/client.h"
#include "client/informer.h"

namespace keles::controllers {

class KindInformers {
 public:
  using Filter = bool (*)(const KindDesc&);
  // As an informer's handler: `before` is null for what is new, `now` for what has gone. An object
  // may be told as new twice, when its kind's definition has changed.
  using Changed = std::function<void(const ObjectPtr& before, const ObjectPtr& now)>;

  KindInformers(Client& client, InformerFactory& factory, Filter filter, Changed changed);
  // Follows the catalog until ctx ends; the built-in kinds' informers are started by their factory.
  void start(Context ctx);
  // Waits for what start() began, after its ctx has ended.
  Task<void> join();

  // By group_resource ("deployments.apps"); null when there is none.
  InformerBase* find(std::string_view resource) const;
  std::vector<InformerBase*> built_in() const;
  // Those that there are now, custom ones included.
  std::vector<KindRef> kinds() const;
  // Every one of a custom kind has listed what there is. Other API servers are not waited for:
  // what they keep to themselves holds up nobody.
  bool synced() const;

 private:
  struct Custom {
    KindRef kind;
    std::optional<Context> ctx;
    std::shared_ptr<InformerBase> informer;
    std::shared_ptr<InformerBase> older;  // of the definition before, until this one has listed
  };
  void follow();
  void open(const std::string& resource, const KindDesc* kind);
  static Task<void> replace(KindInformers* self, Context ctx, std::string resource,
                            std::shared_ptr<InformerBase> fresh);
  void forget(InformerBase& older, const InformerBase* fresh);

  Client& client_;
  InformerFactory& factory_;
  InformerFactory others_;  // of custom kinds
  Filter filter_;
  Changed changed_;
  std::map<std::string, std::shared_ptr<InformerBase>, std::less<>> built_in_;
  std::map<std::string, Custom, std::less<>> custom_;
  std::optional<Context> ctx_;
  std::unique_ptr<Notice::Subscription> subscription_;
  TaskGroup tasks_;
};

}  // namespace keles::controllers
