// The kinds of the Gateway API, which are there when somebody has installed their definitions: an
// informer for each, from when its definition is established until it goes. One loop's thread.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "api/apiextensions_v1.h"
#include "client/informer.h"

namespace keles::ingress {

class GatewayKinds {
 public:
  // `kinds`: GatewayClass, Gateway, HTTPRoute ..., each of the versions that are read: of those
  // that its definition serves the one that comes first here. `changed` is called with every
  // change. Both of the client's loop.
  GatewayKinds(Client& client, InformerFactory& informers, std::vector<KindRef> kinds,
               std::function<void()> changed);
  void start(Context ctx);
  Task<void> join();

  // Of the version that is open.
  const KindDesc* kind(const std::string& plural) const;
  // Null while its definition is not there.
  InformerBase* find(const std::string& plural) const;
  // All that are there have heard what there is.
  bool synced() const;
  std::vector<DocumentPtr> list(const std::string& plural) const;

 private:
  using Definition = api::apiextensions_v1::CustomResourceDefinition;
  struct Open {
    KindRef kind;
    std::optional<Context> ctx;
    std::shared_ptr<InformerBase> informer;
  };
  void follow(const std::string& plural);
  // What is to be open of it; null: nothing.
  KindRef served(const std::string& plural) const;

  InformerFactory own_;
  std::map<std::string, std::vector<KindRef>> kinds_;
  std::map<std::string, Informer<Definition>> definitions_;
  std::map<std::string, Open> open_;
  std::function<void()> changed_;
  std::optional<Context> ctx_;
};

}  // namespace keles::ingress
