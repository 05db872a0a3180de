#include "rpc/health.h"

#include <string>
#include <utility>

#include "proto/health.pb.h"

namespace rutile::rpc {

namespace health = grpc::health::v1;

void RegisterHealth(Methods& methods, std::function<bool()> serving) {
  methods.Handle<health::HealthCheckRequest, health::HealthCheckResponse>(
      "/grpc.health.v1.Health/Check", [services = methods.services(), serving = std::move(serving)](
                                          const health::HealthCheckRequest& request,
                                          health::HealthCheckResponse* response, Done done) {
        if (!request.service().empty() && !services.contains(request.service())) {
          return done(Status(Code::kNotFound, "no service " + request.service()));
        }
        response->set_status(serving() ? health::HealthCheckResponse::SERVING
                                       : health::HealthCheckResponse::NOT_SERVING);
        done();
      });
}

}  // namespace rutile::rpc
