-- Records that asynq has every part of the job.
if redis.call('HGET', job_key, 'phase') == 'planned' then
	redis.call('HSET', job_key, 'phase', 'submitted')
	redis.call('HDEL', job_key, 'plan') -- it told plans apart while their parts were written
end
return {1}
