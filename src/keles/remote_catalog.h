// What an API server that runs elsewhere serves beyond the built-in kinds: custom resources and
// what extension API servers have, by its discovery. It is read anew when a definition changes,
// and twice a minute besides, for what extension API servers change by themselves.
//
// One loop's thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/sync.h"
#include "client/client.h"
#include "client/informer.h"
#include "client/paths_client.h"
#include "machinery/catalog.h"

namespace keles {

class RemoteCatalog {
 public:
  // Both outlive it, and are of its loop.
  RemoteCatalog(Client& client, PathsClient& paths);
  CatalogSource& kinds() { return kinds_; }
  // Follows the server until ctx ends.
  Task<void> run(Context ctx);
  // Publishes what an APIGroupDiscoveryList (JSON) tells.
  Status take(const std::string& discovery);

 private:
  struct Version {
    std::string text;  // of its discovery: while that is the same, so are its kinds
    std::vector<KindRef> kinds;
  };
  void wake_on(InformerBase& informer);
  PathsClient& paths_;
  InformerFactory informers_;
  Event changed_;
  std::string known_;
  std::map<std::string, Version> versions_;  // by group/version
  CatalogSource kinds_;
};

}  // namespace keles
