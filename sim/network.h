// The simulated network between components and the API servers, and the clients that go over it.
//
// A ServerProcess is one life of an API server. A component speaks to it in one of two ways. Over
// wires (wire.h): the real HttpsClient, HTTP and front, over connections that are slow, cut and
// reset. Or by messages: calls of the in-process client as the component's own user, which are
// delayed, lost and doubled, whose replies are lost, whose watches break, as NetworkFaults say;
// this is quicker, and can do to one message what a wire does only to a stream. In both, lists "at
// any version" may be stale, and a request may be carried out long after its sender gave it up.
//
// All chance comes from the loop. One loop's thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/sync.h"
#include "client/client.h"
#include "server/auth/caller.h"
#include "sim/wire.h"

namespace keles {
class ApiServer;
}

namespace keles::sim {

struct NetworkFaults {
  Duration delay_min = 50us, delay_max = 2ms;
  double slow = 0;  // chance of a delay of up to slow_max
  Duration slow_max = 2s;
  double drop_request = 0;  // it never arrives; the sender's patience ends
  double late = 0;  // of a dropped write: it arrives after all; of any: it outlives its caller
  double lose_reply = 0;   // it was carried out; the sender never learns how it went
  double duplicate = 0;    // idempotent requests (update, delete) arrive a second time, later
  double break_watch = 0;  // per event: the stream ends half-way
  double stale_list = 0;   // a list "at any version" is answered from an older one
  Duration patience = 10s;
};

// One life of an API server.
struct ServerProcess {
  ApiServer* api = nullptr;
  Context ctx;
  std::unique_ptr<WireServer> wire;
  int calls = 0;  // under way
  struct OpenWatch {
    std::unique_ptr<Watch> watch;
    bool in_next = false;
  };
  std::vector<std::weak_ptr<OpenWatch>> watches;
  ServerProcess(ApiServer* a, Context context) : api(a), ctx(std::move(context)) {}
  std::unique_ptr<Notice::Subscription> kinds;  // its catalog is the network's
  // The in-process client of a user.
  Client* client_of(const Caller& caller);
  // After ctx has ended and calls has come to 0: takes the watches and clients away, so that the
  // server itself can go.
  void release();

 private:
  std::map<std::string, std::unique_ptr<Client>> clients_;
};

struct Network {
  NetworkFaults faults;
  WireOptions wires;
  double over_wires = 0;  // chance that a component's life is over wires
  std::vector<std::shared_ptr<ServerProcess>> servers;  // those that are up
  CatalogSource kinds;                                  // as the server serves it that changed last
  std::map<std::string, ListResult> last_lists;         // what stale answers are made of
  // Told of what must never happen: a watch that goes back.
  std::function<void(std::string)> violation;
  size_t late_arrivals = 0;  // requests that were carried out after their sender gave up

  std::shared_ptr<ServerProcess> any_server(Random& random) const {
    if (servers.empty()) return nullptr;
    return servers.size() == 1 ? servers[0] : servers[random.below(servers.size())];
  }
};

// A component's own line; cut when the component dies or is partitioned.
struct Line {
  std::string name;
  Caller user;  // as whom it speaks
  bool cut = false;
  bool dead = false;  // its component has gone for good
};

class FaultyClient final : public Client {
 public:
  // `over_wires`: by the real client over connections, else by messages.
  FaultyClient(Loop& loop, Network* network, std::shared_ptr<Line> line, bool over_wires);

  Task<Result<ObjectPtr>> get(Context ctx, const KindDesc* kind, std::string ns,
                              std::string name) override;
  Task<Result<ListResult>> list(Context ctx, const KindDesc* kind, std::string ns,
                                ListOptions options) override;
  Task<Result<std::unique_ptr<Watch>>> watch(Context ctx, const KindDesc* kind, std::string ns,
                                             WatchOptions options) override;
  Task<Result<ObjectPtr>> create(Context ctx, const KindDesc* kind, std::string ns,
                                 std::string name, Document body, WriteOptions options) override;
  Task<Result<ObjectPtr>> update(Context ctx, const KindDesc* kind, std::string ns,
                                 std::string name, Document body, WriteOptions options) override;
  Task<Result<ObjectPtr>> patch(Context ctx, const KindDesc* kind, std::string ns, std::string name,
                                PatchType type, Document body, WriteOptions options) override;
  Task<Result<ObjectPtr>> remove(Context ctx, const KindDesc* kind, std::string ns,
                                 std::string name, DeleteOptions options) override;
  Loop& loop() override { return loop_; }
  CatalogSource& kinds() override { return network_->kinds; }
  using Client::create;
  using Client::get;
  using Client::list;
  using Client::remove;
  using Client::update;

 private:
  enum class Verb : uint8_t { kRead, kWrite, kIdempotentWrite };
  template <class R>
  using Call = std::function<Task<Result<R>>(Client*, Context)>;
  template <class R>
  Task<Result<R>> send(Context ctx, Verb verb, Call<R> call);
  Task<Result<std::unique_ptr<Watch>>> watch_by_messages(Context ctx, const KindDesc* kind,
                                                         std::string ns, WatchOptions options);
  Duration delay();

  Loop& loop_;
  Network* network_;
  std::shared_ptr<Line> line_;
  std::unique_ptr<Client> wires_;  // null: by messages
};

}  // namespace keles::sim
