// What the zoo's Node scripts are made of.
const fs = require('fs');
const http = require('http');
const https = require('https');
const { S, RUN } = process.env;
const PORT = Number(process.env.PORT);
const certificate = () => ({ cert: fs.readFileSync(RUN + '/cert.pem'), key: fs.readFileSync(RUN + '/key.pem') });
// One GET; `done` is called when the answer has ended or failed.
const get = (module, options, done) =>
    module
        .get({ host: S, port: PORT, rejectUnauthorized: false, ...options }, (answer) => {
            answer.resume();
            answer.on('end', () => done && done());
            answer.on('error', () => done && done());
        })
        .on('error', () => done && done());
module.exports = { S, PORT, certificate, get, tls: https, http };
