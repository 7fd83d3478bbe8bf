export const answer = 'built by Vite';
