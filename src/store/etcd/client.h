// A client of an etcd cluster: one member is asked at a time; when it does not answer, the next one
// is. Every call says that it wants a member with a leader, so that one that is cut off from the
// others says so instead of being silent. One loop.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/grpc.h"

namespace keles::etcd {

class Client {
 public:
  Client(Loop& loop, const std::vector<net::Endpoint>& members);
  Client(const Client&) = delete;

  // What may be asked again: of one member after the other, for as long as ctx has time.
  Task<Result<std::string>> read(Context ctx, std::string method, std::string message);
  // What may be carried out once. kServiceUnavailable, kRequestEntityTooLarge, kInternalError: it
  // was not carried out. kNotFound: neither, since the lease in it is no more. kOutcomeUnknown:
  // nobody knows.
  Task<Result<std::string>> write(Context ctx, std::string method, std::string message);
  // `turned` is called once, when another member than this stream's has come to be asked: what the
  // stream waits for may be long in coming. It may be called until the stream's context has ended.
  Task<Result<std::unique_ptr<net::GrpcStream>>> stream(Context ctx, std::string method,
                                                        std::string message,
                                                        std::function<void()> turned);
  // The stream's member has been found wanting: the next one is asked from now on.
  void turn_away();

 private:
  net::GrpcChannel& asked() { return *members_[at_ % members_.size()]; }
  void turn_away_from(size_t at);
  std::function<void()> turned_;
  std::vector<std::unique_ptr<net::GrpcChannel>> members_;
  size_t at_ = 0;
};

// "https://10.0.0.1:2379" and such, each with `tls` if it is https. kBadRequest names what is
// wrong.
Result<std::vector<net::Endpoint>> parse_members(const std::vector<std::string>& urls,
                                                 const net::ClientTls& tls);

}  // namespace keles::etcd
